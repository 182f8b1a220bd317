"""What videos in messages have in common, wherever their frames come from: bounds, one size, two frames a group.

Knows no files and no forms of messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from edge.errors import BadMessage
from edge.media import parameters
from edge.media.access import Access
from edge.media.limits import Limits
from edge.media.parameters import Part, number
from edge.media.visual import FramePair
from stream.frame import Pixels
from stream.resize import resize
from stream.sampler import ChooseSize

FPS = 2.0
MAX_FPS = 240
MAX_FRAMES = 768  # also qwen-vl-utils' limit; a small machine is busy for minutes with that many

Pair = tuple[FramePair, float]
"""A group, and the seconds of its newest frame."""

Timed = tuple[Pixels, float]
"""A frame and its seconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, and what may be given."""

    part: Part
    limits: Limits
    access: Access
    deadline: float  # on the clock of time.monotonic(), for all readings of the video together
    follow: bool  # may a playlist name other files of this machine?

    def choose_size(self, num_frames: int | None = None) -> ChooseSize:
        return parameters.choose_size(self.part, "video", self.limits, self.access, num_frames)

    def check_count(self, num_frames: int) -> None:
        if num_frames > MAX_FRAMES:
            raise BadMessage(
                f"the video gives more than {MAX_FRAMES} frames. "
                "Lower 'fps' or 'max_frames', or choose a part with 'video_start' and 'video_end'."
            )
        self.access.check_frames(num_frames)


def at_one_size(frames: Iterable[Timed], choose_size: ChooseSize) -> Iterator[Timed]:
    size: tuple[int, int] | None = None
    for frame, seconds in frames:
        size = size or choose_size(*frame.shape[:2])
        yield resize(frame, size), seconds


def paired(frames: Iterable[Timed]) -> Iterator[Pair]:
    """Two frames a group; an odd last one is repeated."""
    iterator = iter(frames)
    while pair := list(islice(iterator, 2)):
        yield np.stack([pair[0][0], pair[-1][0]]), pair[-1][1]


def rate(part: Part, name: str) -> float:
    value = number(part, name, FPS)
    if not 0 < value <= MAX_FPS:
        raise BadMessage(f"{name!r} is {value:g}; it must be above 0 and at most {MAX_FPS}.")
    return value
