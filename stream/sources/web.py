"""An address on the web: a recording, a camera's endless stream, or a camera that gives a picture when asked.

Decides which by what the server says of it, once. Knows headers and names. Knows no bytes of video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
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
        self._address = address
        self._live = live
        self._poll_fps = poll_fps
        self._timeouts: dict[str, Any] = {"open_timeout": open_timeout, "read_timeout": read_timeout}
        self._decoding = decoding
        self._found = self._look()
        self._source: NetworkSource | SnapshotSource = self._connection(self._found)
        self._is_used = False
        if isinstance(self._source, SnapshotSource) and decoding != AS_A_PLAYER:
            raise ValueError(
                f"{self.name} gives single pictures: options for damaged and interlaced video mean nothing here."
            )

    def again(self) -> NetworkSource | SnapshotSource:
        """A connection for each call. What has answered is not looked at again; a silent server may have been busy."""
        if not self._is_used:
            self._is_used = True
            return self._source
        if self._found is not None or self._live is False:
            return self._connection(self._found)
        self._found = self._look()
        # By now somebody watches it as a camera: a recording is then played at its own speed.
        return self._connection(self._found, otherwise=None)

    def _look(self) -> Look | None:
        return None if self._live is False else look(self._address, min(self._timeouts["open_timeout"], LOOK))

    def _connection(self, found: Look | None, otherwise: bool | None = False) -> NetworkSource | SnapshotSource:
        """`otherwise` is what a recording is opened as."""
        if self._live is not False and is_snapshot(self._address, found):
            return SnapshotSource(self._address, fps=self._poll_fps, **self._timeouts)
        known = is_live(self._address, found) if self._live is None else self._live
        known = otherwise if known is False else known
        return NetworkSource(self._address, live=known, decoding=self._decoding, **self._timeouts)

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
