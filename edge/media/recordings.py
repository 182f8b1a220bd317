"""Videos in files, sampled for the vision tower: by their own clock, or evenly.

By the clock, `fps` times a second; evenly in `nframes` frames, or where `min_frames` and `max_frames` leave no other
way. What needs the number of frames beforehand reads twice: to count, then to pick. Knows no forms of messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import BadMessage
from edge.media.frames import MAX_FRAMES, Pair, Request, at_one_size, paired, rate
from edge.media.parameters import number
from stream.frame import Frame
from stream.sampler import EARLY, ChooseSize, groups
from stream.sources.address import open_source

Read = Callable[[], Generator[Frame]]
"""Begins to read a file anew."""


def sampled(address: str, request: Request) -> Iterator[Pair]:
    def read() -> Generator[Frame]:
        return _frames(address, request)

    if "nframes" not in request.part:
        if request.part.keys() & {"total_pixels", "min_frames", "max_frames"}:
            return _counted(read, request)
        return _by_the_clock(read, request, request.choose_size())
    if "fps" in request.part:
        raise BadMessage("'fps' and 'nframes' contradict each other. Give one of them.")
    asked = number(request.part, "nframes", 0)
    num_frames = int(asked) // 2 * 2
    request.check_count(num_frames)
    total = sum(1 for _ in read())
    if not 2 <= num_frames <= total:
        raise BadMessage(f"'nframes' is {asked:g}; of this video's {total} frames choose 2 or more.")
    return _evenly(read, request, num_frames, total)


def _counted(read: Read, request: Request) -> Iterator[Pair]:
    """By the clock, with as many frames and pixels as the part allows. Reads twice: to count, then to pick."""
    times = [frame.pts for frame in read()]
    _refuse_nothing(len(times))
    by_clock = _count_by_the_clock(times, rate(request.part, "fps"))
    low, high = number(request.part, "min_frames", 0), number(request.part, "max_frames", math.inf)
    if high < max(2, low):
        raise BadMessage(f"'max_frames' is {high:g}; it must be at least 2, and at least 'min_frames'.")
    wanted = int(min(max(by_clock, math.ceil(low / 2) * 2), high)) // 2 * 2
    request.check_count(wanted)
    if wanted == by_clock or len(times) < 2:
        return _by_the_clock(read, request, request.choose_size(by_clock))
    return _evenly(read, request, min(wanted, len(times) // 2 * 2), len(times))


def _count_by_the_clock(times: Sequence[float], fps: float) -> int:
    first, last = (math.floor((seconds + EARLY) * fps) for seconds in (times[0], times[-1]))
    return 2 * (last // 2 - first // 2 + 1)


def _by_the_clock(read: Read, request: Request, choose_size: ChooseSize) -> Iterator[Pair]:
    fps = rate(request.part, "fps")
    num_frames = 0
    hold = MAX_FRAMES / fps  # a recording of a still screen may have one frame in a minute
    with closing(read()) as frames:
        for group in groups(frames, fps, choose_size=choose_size, hold=hold):
            num_frames += 2
            request.check_count(num_frames)
            yield group.pixels, group.pts[1]
    _refuse_nothing(num_frames)


def _evenly(read: Read, request: Request, num_frames: int, total: int) -> Iterator[Pair]:
    """`num_frames` frames at even distances, first and last included."""
    picked = set(np.linspace(0, total - 1, num_frames).round().astype(int).tolist())
    chosen = ((frame.pixels, frame.pts) for index, frame in enumerate(read()) if index in picked)
    return paired(at_one_size(chosen, request.choose_size(num_frames)))


def _frames(address: str, request: Request) -> Generator[Frame]:
    """Between 'video_start' and 'video_end'."""
    start, end = number(request.part, "video_start", 0.0), number(request.part, "video_end", math.inf)
    with closing(open_source(address, **_options(address, request))) as source:
        if source.live:
            raise BadMessage("a message takes a recorded video, and this is a live one. Watch it as a stream.")
        for frame in source:
            request.access.check_time(request.deadline)
            if frame.pts > end:
                return
            if frame.pts >= start and not frame.damaged:
                yield frame


def _options(address: str, request: Request) -> dict[str, Any]:
    """For a file. A folder, a drawn scene and whatever else is registered take none of them."""
    if not Path(address).is_file():
        return {}
    return {"follow": request.follow, "max_pixels": request.access.max_pixels}


def _refuse_nothing(num_frames: int) -> None:
    if not num_frames:
        raise BadMessage("no frame of the video lies between 'video_start' and 'video_end'.")
