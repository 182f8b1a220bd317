"""From containers to pictures: which track, what survives corrupt data, and what time a picture shows.

Knows PyAV. Knows no address, no network and no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import numpy as np
from av.stream import Disposition

from stream.errors import NoVideo, SourceUnreadable
from stream.frame import Pixels

FALLBACK_FPS = 25.0  # where a file tells neither times nor a rate


def video_track(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first track of moving pictures; the cover of a song is none."""
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    if not tracks:
        raise NoVideo(f"{name}: it opens, but holds no pictures (audio only?).")
    if tracks[0].codec_context is None:
        raise SourceUnreadable(f"{name}: there is no decoder for its pictures.")
    return tracks[0]


def pictures(
    container: av.container.InputContainer, track: av.VideoStream, on_corrupt: Callable[[], object]
) -> Iterator[av.VideoFrame | None]:
    """Decoded pictures. None stands for data that made no picture yet: a sign of life.

    What cannot be decoded is told to `on_corrupt` and passed over, decoders recover at the next keyframe.
    """
    for packet in container.demux(track):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            on_corrupt()
            decoded = []
        yield from decoded or (None,)


def to_pixels(picture: av.VideoFrame) -> Pixels:
    """RGB, upright: phones write pictures lying on their side and say so."""
    pixels: Pixels = picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    quarter_turns = round(picture.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def own_time(picture: av.VideoFrame) -> float | None:
    """Seconds by the clock of whoever made the picture."""
    if picture.pts is None or picture.time_base is None:
        return None
    return float(picture.pts * picture.time_base)


class FileClock:
    """Seconds from a file's first picture; a picture without a time follows the one before it."""

    def __init__(self, track: av.VideoStream) -> None:
        self._step = 1 / float(track.average_rate or FALLBACK_FPS)
        self._origin: float | None = None  # the track's own time of pts 0
        self._last: float | None = None

    def pts(self, own: float | None) -> float:
        expected = 0.0 if self._last is None else self._last + self._step
        if own is not None and self._origin is None:
            self._origin = own - expected
        if own is None or self._origin is None:
            self._last = expected
        else:
            self._last = max(self._last or 0.0, own - self._origin)
        return self._last
