"""Where the media of a message are: a path, file://, http(s):// or a data URL. Knows no pictures."""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from edge.errors import BadMessage
from stream.errors import SourceNotFound

CARRIED = ("http", "https", "data")
"""Schemes whose bytes come over a wire or in the message, rather than from a file."""


def scheme(address: str) -> str:
    """Lower case; "" for a path. Not urlsplit, for a data URL may be long."""
    name, colon, _ = address[:16].partition(":")
    return name.lower() if colon and name.isalnum() and len(name) > 1 else ""


def path(address: str) -> Path:
    """What a path or a file:// address names on this machine. Raises SourceNotFound where there is nothing."""
    try:
        local = url2pathname(urlsplit(address).path) if scheme(address) == "file" else os.path.expanduser(address)
        if os.path.exists(local):  # not Path.exists, which raises when the name is too long
            return Path(local)
    except ValueError:  # file://[, a name with a null character
        pass
    raise SourceNotFound(f"there is no file {_shortened(address)}. Check the path.")


def _shortened(text: str) -> str:
    """A long one may be the base64 of a picture whose "data:" was left away."""
    return text if len(text) <= 200 else f"{text[:40]}... ({len(text)} characters)"


def payload(address: str) -> bytes:
    """The bytes behind an address of one of the CARRIED schemes."""
    if scheme(address) == "data":
        return _data(address)
    from edge.media.fetch import fetch  # here: most messages bring their pictures along

    return fetch(address)


@contextmanager
def local(address: str) -> Iterator[str]:
    """The same thing on this machine; what came over a wire lies in a temporary file meanwhile."""
    if scheme(address) not in CARRIED:
        # Absolute, so that a file named "0" is not taken for the first camera.
        yield str(path(address).absolute()) if scheme(address) in ("", "file") else address
        return
    with tempfile.NamedTemporaryFile(prefix="edge-", suffix=".video") as file:
        file.write(payload(address))
        file.flush()
        yield file.name


def _data(address: str) -> bytes:
    header, comma, text = address.partition(",")
    if not comma or not header.endswith(";base64"):
        raise BadMessage("the data URL is not base64. Write it as data:image/png;base64,...")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage(f"the {len(text)} characters of the data URL are not valid base64.") from None
