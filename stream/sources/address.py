"""What a user types, and the source it means.

    clip.mp4  moving.webp  photo.jpg  pictures/  files and folders on this machine
    rtsp://user:password@10.0.0.10/stream   rtsps://  http://  https://
    camera:0  camera://0  /dev/video0  0    a camera on this machine
    synthetic:  synthetic://?seed=3&live=1  drawn scenes with a known answer

Knows schemes and the registry. Only registered schemes are opened: FFmpeg's own (concat, pipe, data, lavfi ...)
would read files and worse for whoever may name an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from stream.errors import BadAddress, SourceNotFound, UnknownScheme
from stream.registry import find
from stream.sources import SOURCES, Source
from stream.sources.reconnect import OnStatus, Reconnecting, no_status
from stream.sources.redaction import redact

__all__ = ["Address", "open_source", "parse", "redact"]

LOCAL = ("file", "folder", "camera")  # their targets are plain paths and numbers, not addresses
FULL_WIDTH_SLASH = "\uff0f"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(//)?", re.I)  # one letter is a drive


@dataclass(frozen=True, slots=True)
class Address:
    """Which source, and what it is opened with."""

    scheme: str  # a key of SOURCES
    target: str = field(repr=False)  # may hold a password

    @property
    def name(self) -> str:
        """For people to read."""
        return redact(self.target)


def parse(text: str) -> Address:
    text = text.strip()
    if not text:
        raise SourceNotFound("The address is empty. Give a file, a folder, camera:0 or an rtsp:// address.")
    if named := _SCHEME.match(text):
        scheme, has_slashes = named[1].lower(), bool(named[2])
        if scheme in SOURCES:
            return _registered(scheme, text, text[named.end() :], has_slashes)
        if has_slashes or not Path(text).exists():
            raise UnknownScheme(f"{redact(text)}: {scheme!r} is no known scheme. {known_schemes()}")
    return _local(text)


def known_schemes() -> str:
    return f"Known are {', '.join(sorted(SOURCES))}, and paths on this machine."


def open_source(
    address: str,
    *,
    source: str | None = None,
    patient: bool = False,
    on_status: OnStatus = no_status,
    **options: Any,
) -> Source:
    """The source for an address; live ones on the network and cameras reconnect for ever.

    `source` overrules the scheme with a name in SOURCES or an import path "package.module:Class", called with
    the address. It is never taken from the address itself: that may come from somebody else, and would run
    any code. The first connection must succeed unless `patient`, which waits for a camera that is off. `options`
    are the source's own.
    """
    where = Address(source, address.strip()) if source else parse(address)
    if source in SOURCES and source not in LOCAL:
        _check_url(where.target)
    opens = _resolve(where.scheme)
    if not getattr(opens, "can_be_lost", False):
        return opens(where.target, **options)
    first = opens(where.target, **options)
    if not first.live:
        return first
    # Where a source had to look what the address leads to, it need not look each time.
    connect = getattr(first, "again", lambda: opens(where.target, **options))
    return Reconnecting(connect, name=first.name, patient=patient, on_status=on_status)


def _registered(scheme: str, text: str, rest: str, has_slashes: bool) -> Address:
    if scheme not in LOCAL:
        _check_login(text, rest)
        _check_url(text)
        return Address(scheme, scheme + text[len(scheme) :])  # FFmpeg knows its protocols in lower case only
    if scheme != "camera" and has_slashes:  # file:///home/my%20clip.mp4
        rest = unquote(rest)
    if scheme == "file" and Path(rest).is_dir():
        scheme = "folder"
    return Address(scheme, rest)


def _check_login(text: str, rest: str) -> None:
    """A raw "/", "?" or "#" in a password ends the name of the host: everything would look like a wrong host."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    after = rest[len(authority) :]
    if "@" in authority or "@" not in after:
        return
    port = authority.rpartition(":")[2] if ":" in authority else ""
    if after.startswith("#") or not (authority.startswith("[") or port.isdecimal() or ":" not in authority):
        raise BadAddress(
            f"{redact(text)}: {after[0]!r} ends the name of a host, and here it seems to stand in a password. "
            f"Percent-encode it: {quote(after[0], safe='')} for {after[0]}."
        )


def _check_url(text: str) -> None:
    """Later it is taken apart again and again, by a parser whose own message would show the password."""
    try:
        urlsplit(text)
    except ValueError:
        raise BadAddress(
            f"{redact(text)}: this is no valid address. Full-width and other signs that stand for one of / ? # @ :, "
            "and a bracket without its other half, must be percent-encoded in a user or a password "
            f"({quote('[', safe='')} for [, {quote(FULL_WIDTH_SLASH, safe='')} for a full-width slash)."
        ) from None


def _local(path: str) -> Address:
    if Path(path).is_dir():
        return Address("folder", path)
    is_number = path.isdecimal() and not Path(path).exists()
    if is_number or re.fullmatch(r"/dev/(video\d+|v4l/.+)", path):
        return Address("camera", path)
    return Address("file", path)


def _resolve(scheme: str) -> Callable[..., Source]:
    if scheme not in SOURCES and ":" not in scheme:
        raise UnknownScheme(f"{scheme!r} is no known source. {known_schemes()}")
    try:
        return find(scheme, SOURCES)
    except ValueError as error:
        raise UnknownScheme(f"{scheme!r}: {error}") from None
