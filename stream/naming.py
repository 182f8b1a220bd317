"""What cameras are called: `front=rtsp://...`, or after their address where nobody gave a name.

Knows words, opens nothing. Names tell streams apart in events, tables and names of files, so no two are alike in any
of these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.sources import SOURCES
from stream.sources.redaction import redact

_NAME = re.compile(r"\w[\w .-]*")
_NUMBER = re.compile(r"\d+")  # such as 0, the address of a camera
_NOT_IN_FILES = re.compile(r"[^\w.]+")


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """One camera as a person wrote it."""

    address: str = field(repr=False)  # may hold a password
    name: str | None  # None: not said

    @property
    def shown(self) -> str:
        """Shows no credentials."""
        return self.name or redact(self.address)


def split_name(word: str) -> NamedAddress:
    """`NAME=ADDRESS`, or an address alone. What exists as a file is a file, whatever it is called.

    Raises ValueError for an empty name, and for one that could be the beginning of an address.

    >>> split_name("front door=rtsp://10.0.0.7/live").name
    'front door'
    >>> split_name("rtsp://10.0.0.7/live?channel=1").name is None
    True
    """
    head, equals, address = word.partition("=")
    name = head.strip()
    if not equals or _begins_an_address(name) or Path(word).exists():
        return NamedAddress(word, None)
    if not name:
        raise ValueError(
            f"{redact(word)}: the name before the = is empty. Write front=rtsp://..., or the address alone."
        )
    if not address.strip():
        raise ValueError(f"{name}= has no address. Write {name}=rtsp://..., or {name}=camera:0.")
    if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name):
        raise ValueError(
            f"{redact(name)!r} cannot be told from an address, and so is no name of a camera. Names have letters, "
            "digits, spaces, and . _ - only, and more than digits: front=rtsp://..."
        )
    return NamedAddress(address.strip(), name)


def name_cameras(words: Sequence[str]) -> list[NamedAddress]:
    """All have a name then; those that nobody named get one from their address, with a number where two are alike.
    A sole camera without a name stays without: it is called what its source is called.

    Raises ValueError as `split_name`, and for a name given twice: also where two differ only by what a file's name
    cannot hold, or by capitals.
    """
    found = [split_name(word) for word in words]
    if len(found) == 1:
        return found
    taken: dict[str, str] = {}  # by what tells them apart
    for name in (each.name for each in found if each.name is not None):
        key = _key(name)
        if key in taken:
            alike = "" if taken[key] == name else f" (as {taken[key]!r}: capitals and signs make no difference)"
            raise ValueError(f"The name {name!r} is given twice{alike}. Give each camera a name of its own.")
        taken[key] = name
    return [each if each.name is not None else NamedAddress(each.address, _derived(each, taken)) for each in found]


def file_form(name: str) -> str:
    """The name as a part of a file's name.

    >>> file_form("rtsp://***@10.0.0.7:554/live")
    'rtsp-10.0.0.7-554-live'
    """
    return _NOT_IN_FILES.sub("-", name).strip("-.") or "camera"


def _derived(camera: NamedAddress, taken: dict[str, str]) -> str:
    name, number = camera.shown, 1
    while _key(name) in taken:
        number += 1
        name = f"{camera.shown} #{number}"
    taken[_key(name)] = name
    return name


def _key(name: str) -> str:
    return file_form(name).casefold()


def _begins_an_address(head: str) -> bool:
    scheme, colon, _ = head.partition(":")
    return "/" in head or bool(colon and scheme.lower() in SOURCES)
