"""An address on the web: a recording, a camera's endless stream, or a camera that gives a picture when asked.

Decides which by what the server says of it, once. Knows headers and names. Knows no bytes of video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from stream.frame import Frame
from stream.sources.connection import Progress
from stream.sources.decoding import AS_A_PLAYER, Decoding
from stream.sources.network import NetworkSource
from stream.sources.redaction import redact
from stream.sources.snapshot import SnapshotSource
from stream.sources.web_look import Look, look

RECORDINGS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp"})
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
PARTS = "multipart/"  # Motion JPEG: one picture after the other
ENDLESS = 2**40  # bytes; cameras that must name some length name one that never comes
MADE_UP = frozenset({2**31 - 1, 2**31, 2**32 - 1, 2**32})
LOOK = 5.0  # seconds for the first look, at most


class WebSource:
    """`live=None` decides by looking; True or False overrules what the server and the container say."""

    can_be_lost = True  # so that `open_source` connects again

    def __init__(
        self,
        address: str,
        *,
        live: bool | None = None,
        poll_fps: float = 2.0,  # pictures a second asked of a camera that gives single ones
        open_timeout: float = 10.0,  # seconds until the stream is described
        read_timeout: float = 5.0,  # seconds without any data
        decoding: Decoding = AS_A_PLAYER,  # of a stream
    ) -> None:
        self.name = redact(address)
        found = None if live is False else look(address, min(open_timeout, LOOK))
        self.again: Callable[
            [], NetworkSource | SnapshotSource
        ]  # another connection of the same kind, without looking again
        if live is not False and is_snapshot(address, found):
            self.again = partial(
                SnapshotSource, address, fps=poll_fps, open_timeout=open_timeout, read_timeout=read_timeout
            )
        else:
            known = is_live(address, found) if live is None else live
            self.again = partial(
                NetworkSource,
                address,
                live=known,
                open_timeout=open_timeout,
                read_timeout=read_timeout,
                decoding=decoding,
            )
        self._source = self.again()

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def codec(self) -> str:
        return self._source.codec

    @property
    def clock_restarts(self) -> int:
        """Of a recording: how often its own time began again."""
        return getattr(self._source, "clock_restarts", 0)

    @property
    def progress(self) -> Progress:
        return self._source.progress

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._source)

    def close(self) -> None:
        """Returns at once."""
        self._source.close()


def is_snapshot(address: str, found: Look | None) -> bool:
    """One picture with an end to it."""
    if found is None or found.is_refused:
        return _suffix(address) in PICTURES
    return found.content_type.startswith("image/")


def is_live(address: str, found: Look | None) -> bool | None:
    """None: what the container says of its length decides. By the name only where nobody answers."""
    if found is None or found.is_refused:
        return _suffix(address) not in RECORDINGS
    if found.playlist is not None:
        return "#EXT-X-ENDLIST" not in found.playlist
    if found.content_type.startswith(PARTS):
        return True
    if found.length is None:
        return None
    return not found.seekable and (found.length in MADE_UP or found.length >= ENDLESS or not found.length)


def _suffix(address: str) -> str:
    return PurePosixPath(urlsplit(address).path).suffix.lower()
