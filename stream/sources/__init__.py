"""Where frames come from, by the scheme of the address.

A source is one file and one line here: `"scheme": "package.module:Class"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from stream.frame import Frame

SOURCES = {
    "file": "stream.sources.file:FileSource",
    "folder": "stream.sources.folder:FolderSource",
    "rtsp": "stream.sources.network:NetworkSource",
    "rtsps": "stream.sources.network:NetworkSource",
    "http": "stream.sources.web:WebSource",
    "https": "stream.sources.web:WebSource",
    "camera": "stream.sources.camera:CameraSource",
    "synthetic": "stream.sources.synthetic:SyntheticSource",
}


class Source(Protocol):
    """A connection; iterating gives frames."""

    live: bool  # True: the world does not wait, old frames are dropped. False: the reader waits, nothing is lost
    name: str  # the address with credentials redacted

    @property
    def codec(self) -> str:
        """How pictures come, such as "h264", once one has come; "" where nothing is decoded."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Ends the iteration from any thread, soon. Idempotent."""
        ...
