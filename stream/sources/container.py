"""From an open container to frames, for sources that are connections: cameras here and on the network.

Knows PyAV and errors. Knows no protocol, no thread and no limit in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import av

from stream.errors import StreamError
from stream.frame import Frame
from stream.sources.arrival import ArrivalClock, PlayoutClock, has_clock
from stream.sources.decoding import AS_A_PLAYER, Decoded, Decoding, pictures, video_track

Stamp = Callable[[Decoded], Frame]
"""Gives a picture its times."""


class ContainerReader:
    """Opens, finds the track, decodes, closes."""

    def __init__(
        self,
        name: str,
        open: Callable[[], av.container.InputContainer],
        prepare: Callable[[av.container.InputContainer, av.VideoStream], Stamp],
        failure: Callable[[Exception, bool], StreamError],  # (what went wrong, whether it was still opening)
        on_other: Callable[[], bool],  # data of another track came: sound, titles; False: nobody reads any more
        decoding: Decoding = AS_A_PLAYER,
    ) -> None:
        self.codec = ""
        self.corrupt = 0  # pieces of data that could not be decoded
        self._name = name
        self._open = open
        self._prepare = prepare
        self._failure = failure
        self._on_other = on_other
        self._decoding = decoding

    def read(self) -> Generator[Frame | None, None, None]:
        """None first, once it is open; then frames, and None for data without a picture."""
        opening = True
        try:
            with self._open() as container:
                track = video_track(container, self._name)
                self.codec = track.codec_context.name
                stamp = self._prepare(container, track)
                opening = False
                yield None
                packets: Any = _OneTrack(container, self._on_other)
                for picture in pictures(packets, track, self._count_corrupt, self._decoding):
                    yield None if picture is None else stamp(picture)
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error, opening) from None

    def _count_corrupt(self) -> None:
        self.corrupt += 1


class _OneTrack:
    """A container that tells of the packets of its other tracks instead of passing over them."""

    def __init__(self, container: av.container.InputContainer, on_other: Callable[[], bool]) -> None:
        self._container = container
        self._on_other = on_other

    def demux(self, track: av.VideoStream) -> Iterator[av.Packet[Any]]:
        for packet in self._container.demux():
            if packet.stream_index == track.index:
                yield packet
            elif not self._on_other():  # asked here: no picture may ever come, after which the reading would end
                return


def arrival_stamps(container: av.container.InputContainer) -> Stamp:
    """For a live picture: when it was taken, as near as its own clock and its arrival tell."""
    clock = ArrivalClock()
    believed = has_clock(container)

    def stamp(picture: Decoded) -> Frame:
        now = time.monotonic()
        return picture.frame(clock.pts(picture.own if believed else None, now), now, "arrival")

    return stamp


def paced_stamps(wait: Callable[[float], object]) -> Stamp:
    """For live pictures that come in pieces: one after the other, each when it is due; `wait` takes seconds."""
    clock = PlayoutClock()

    def stamp(picture: Decoded) -> Frame:
        now = time.monotonic()
        due = clock.due(picture.own, now)
        wait(max(0.0, due - now))
        return picture.frame(due, max(due, time.monotonic()), "arrival")

    return stamp
