"""Where the media of a message are: a path, file://, http(s):// or a data URL. Knows no pictures.

Everything named by a message is opened from here, as its `Access` allows. After "file://" a name is taken as it
stands, as qwen-vl-utils does, or with its %20 read as a space; and it begins with "/", so that no host is meant.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from edge.errors import AccessDenied, BadMessage
from edge.media.access import PATH, Access
from stream.errors import SourceNotFound, StreamError
from stream.sources.redaction import redact

CARRIED = ("http", "https", "data")
"""Schemes whose bytes come over a wire or in the message, rather than from a file."""


ON_DISK = (PATH, "file")


def scheme(address: str) -> str:
    """Lower case. Not urlsplit, for a data URL may be long."""
    name, colon, _ = address[:16].partition(":")
    return name.lower() if colon and name.isalnum() and len(name) > 1 else PATH


def path(address: str, access: Access) -> Path:
    """What a path or a file:// address names on this machine. Raises SourceNotFound where there is nothing."""
    access.check_scheme(scheme(address), address)
    try:
        for name in _names(address):
            real = access.real_path(Path(name))
            if os.path.exists(real):  # not Path.exists, which raises when the name is too long
                return real
    except ValueError:  # a name with a null character
        pass
    raise SourceNotFound(f"there is no file {_shortened(redact(address))}. Check the path.")


def file(address: str, access: Access) -> Path:
    """The same, of what is a file."""
    found = path(address, access)
    if found.is_dir():
        raise BadMessage(f"{found} is a folder, and a picture is a file.")
    access.check_file(found)
    return found


def payload(address: str, access: Access) -> bytes:
    """The bytes behind an address of one of the CARRIED schemes."""
    access.check_scheme(scheme(address), address)
    if scheme(address) == "data":
        access.check_bytes(len(address) * 3 / 4, "the data URL")
        return _data(address)
    from edge.media.fetch import fetch  # here: most messages bring their pictures along

    return fetch(address, access)


@contextmanager
def local(address: str, access: Access) -> Iterator[str]:
    """The same thing on this machine; what came over a wire lies in a temporary file meanwhile."""
    if scheme(address) in CARRIED:
        with tempfile.NamedTemporaryFile(prefix="edge-", suffix=".video") as temporary:
            temporary.write(payload(address, access))
            temporary.flush()
            try:
                yield temporary.name
            except StreamError as error:  # about a file that nobody knows of
                what = "the video in the message" if scheme(address) == "data" else redact(address)
                raise type(error)(str(error).replace(temporary.name, what)) from None
    elif scheme(address) in ON_DISK:
        found = path(address, access)
        access.check_file(found)
        yield str(found.absolute())  # so that a file named "0" is not taken for the first camera
    else:
        access.check_scheme(scheme(address), address)
        yield address


def _names(address: str) -> list[str]:
    if scheme(address) != "file":
        return [os.path.expanduser(address)]
    name = address[len("file:") :]
    if name.startswith("//"):
        host, slash, rest = name[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise AccessDenied(f"{redact(address)} names a file of another machine. Write it as file:///path.")
        name = slash + rest
    return [name, unquote(name)]


def _shortened(text: str) -> str:
    """A long one may be the base64 of a picture whose "data:" was left away."""
    return text if len(text) <= 200 else f"{text[:40]}... ({len(text)} characters)"


def _data(address: str) -> bytes:
    header, comma, text = address.partition(",")
    if not comma or not header.endswith(";base64"):
        raise BadMessage("the data URL is not base64. Write it as data:image/png;base64,...")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage(f"the {len(text)} characters of the data URL are not valid base64.") from None
