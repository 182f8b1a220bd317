"""Videos of chat messages, in the forms qwen-vl-utils takes, as groups for the vision tower.

A video is sampled on its own clock, `fps` times a second, or evenly in `nframes` frames; `min_frames` and
`max_frames` bound the first, evenly too. An odd number of frames is completed by repeating the last.

Where this differs from qwen-vl-utils 0.0.14, on purpose: an odd `nframes` is rounded down, not to the nearest
even number; frames given as a list are resized once, and must agree in size; what chooses frames of a file is
an error beside a list, not ignored; `fps` sampling follows the clock instead of counting frames, and has no
minimum of 4 frames; more than 768 frames are refused, not thinned out, unless `max_frames` says so;
`total_pixels` has no default; `max_pixels` may exceed 768 tokens a frame, and `resized_height` and
`resized_width` stay within the limits; a file:// address has three slashes; pictures are turned upright as their
EXIF says. Knows no messages and no model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import AccessDenied, BadMessage
from edge.media import addresses, parameters
from edge.media.access import TRUSTED, Access
from edge.media.limits import Limits
from edge.media.parameters import FOR_FILES, Part, number
from edge.media.pictures import checked_array, read_picture, unwrapped
from edge.media.visual import FramePair, Visual
from stream.frame import Frame, Pixels
from stream.resize import resize
from stream.sampler import EARLY, ChooseSize, groups
from stream.sources.address import open_source

FPS = 2.0
MAX_FPS = 240
MAX_FRAMES = 768  # also qwen-vl-utils' limit; a small machine is busy for minutes with that many

Pair = tuple[FramePair, float]
"""A group, and the seconds of its newest frame."""

Timed = tuple[Pixels, float]
"""A frame and its seconds."""

Read = Callable[[], Generator[Frame]]
"""Begins to read a file anew."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, and what may be given."""

    part: Part
    limits: Limits
    access: Access

    def choose_size(self, num_frames: int | None = None) -> ChooseSize:
        return parameters.choose_size(self.part, self.limits.video, self.limits.cell, self.access, num_frames)

    def check_count(self, num_frames: int) -> None:
        if num_frames > MAX_FRAMES:
            raise BadMessage(
                f"the video gives more than {MAX_FRAMES} frames. "
                "Lower 'fps' or 'max_frames', or choose a part with 'video_start' and 'video_end'."
            )
        self.access.check_frames(num_frames)


def load_video(part: Part, limits: Limits, access: Access = TRUSTED) -> Visual:
    """The video of a part {"video": ...}. Raises BadMessage, AccessDenied, BadPicture and what its source raises."""
    part = parameters.given(part)
    parameters.check(part, "video")
    video, request = unwrapped(part.get("video")), Request(part, limits, access)
    if isinstance(video, str | Path):
        with addresses.local(str(video), access) as address:
            return _visual(_sampled(address, request))
    if isinstance(video, list | tuple | np.ndarray):
        return _visual(_listed(video, request))
    raise BadMessage(f"a video is a path, an address, a list of frames or an array, not a {type(video).__name__}.")


def _visual(pairs: Iterable[Pair]) -> Visual:
    frames, seconds = zip(*pairs, strict=True)
    return Visual("video", frames, seconds)


# Frames that are there already


def _listed(video: Sequence[Any] | NDArray[Any], request: Request) -> Iterator[Pair]:
    if len(video) == 0:
        raise BadMessage("the list of frames is empty. Send at least one.")
    if unusable := FOR_FILES & request.part.keys():
        raise BadMessage(f"{min(unusable)!r} chooses frames of a file; of a list of frames all are used.")
    rate = _rate(request.part, "sample_fps")
    request.check_count(len(video))
    frames = iter(checked_array(video, ndim=4)) if isinstance(video, np.ndarray) else _read_all(video, request.access)
    timed = ((frame, index / rate) for index, frame in enumerate(frames))
    return _paired(_at_one_size(timed, request.choose_size(len(video))))


def _read_all(values: Sequence[Any], access: Access) -> Iterator[Pixels]:
    """One after the other: hundreds of photos at their own size are more than the memory."""
    first: tuple[int, ...] | None = None
    for index, value in enumerate(values):
        frame = read_picture(value, access)
        first = first or frame.shape
        if frame.shape != first:
            raise BadMessage(
                f"frame {index} is {frame.shape[1]}x{frame.shape[0]} and frame 0 is {first[1]}x{first[0]}. "
                "Send the frames of a video at one size."
            )
        yield frame


# Frames of a file


def _sampled(address: str, request: Request) -> Iterator[Pair]:
    def read() -> Generator[Frame]:
        return _frames(address, request)

    if "nframes" not in request.part:
        if request.part.keys() & {"total_pixels", "min_frames", "max_frames"}:
            return _counted(read, request)
        return _by_the_clock(read, request, request.choose_size())
    if "fps" in request.part:
        raise BadMessage("'fps' and 'nframes' contradict each other. Give one of them.")
    num_frames = int(number(request.part, "nframes", 0)) // 2 * 2
    request.check_count(num_frames)
    total = sum(1 for _ in read())
    if not 2 <= num_frames <= total:
        raise BadMessage(f"'nframes' is {request.part['nframes']:g}; of this video's {total} frames choose 2 or more.")
    return _evenly(read, request, num_frames, total)


def _counted(read: Read, request: Request) -> Iterator[Pair]:
    """By the clock, with as many frames and pixels as the part allows. Reads twice: to count, then to pick."""
    times = [frame.pts for frame in read()]
    _refuse_nothing(len(times))
    by_clock = _count_by_the_clock(times, _rate(request.part, "fps"))
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
    fps = _rate(request.part, "fps")
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
    return _paired(_at_one_size(chosen, request.choose_size(num_frames)))


def _frames(address: str, request: Request) -> Generator[Frame]:
    """Between 'video_start' and 'video_end'."""
    access, deadline = request.access, time.monotonic() + request.access.decode_seconds
    start, end = number(request.part, "video_start", 0.0), number(request.part, "video_end", math.inf)
    with closing(open_source(address, **_options(address, access))) as source:
        if source.live:
            raise BadMessage("a message takes a recorded video, and this is a live one. Watch it as a stream.")
        for frame in source:
            if time.monotonic() > deadline:
                raise AccessDenied(
                    f"the video takes longer than {access.decode_seconds:g} s to read. Send a shorter one."
                )
            if frame.pts > end:
                return
            if frame.pts >= start:
                yield frame


def _options(address: str, access: Access) -> dict[str, Any]:
    """For a file. A folder, a drawn scene and whatever else is registered take none of them."""
    if not Path(address).is_file():
        return {}
    return {"follow": access.files_are_trusted, "max_pixels": access.max_pixels}


def _at_one_size(frames: Iterable[Timed], choose_size: ChooseSize) -> Iterator[Timed]:
    size: tuple[int, int] | None = None
    for frame, seconds in frames:
        size = size or choose_size(*frame.shape[:2])
        yield resize(frame, size), seconds


def _paired(frames: Iterable[Timed]) -> Iterator[Pair]:
    """Two frames a group; an odd last one is repeated."""
    iterator = iter(frames)
    while pair := list(islice(iterator, 2)):
        yield np.stack([pair[0][0], pair[-1][0]]), pair[-1][1]


def _rate(part: Part, name: str) -> float:
    rate = number(part, name, FPS)
    if not 0 < rate <= MAX_FPS:
        raise BadMessage(f"{name!r} is {rate:g}; it must be above 0 and at most {MAX_FPS}.")
    return rate


def _refuse_nothing(num_frames: int) -> None:
    if not num_frames:
        raise BadMessage("no frame of the video lies between 'video_start' and 'video_end'.")
