"""The values everything else passes around: Frame, Group, Window.

Knows pictures and times. Knows no camera, no model and no clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

Clock = Literal["file", "arrival", "synthetic"]
"""What `pts` counts: time in a file, arrival at this machine, or time in a drawn scene."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture and when it was taken."""

    pixels: Pixels
    pts: float  # seconds on the source's clock; never goes back within one source
    captured: float  # seconds, `time.monotonic()` when the frame reached this process
    clock: Clock
    held: bool = False  # True: no new picture, but word (or a guess of the source) that the last one still stands


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Two consecutive sampled frames at one fixed size: one temporal patch of Qwen2-VL.

    `index` lies on the stream's absolute grid: group i holds the samples 2i and 2i + 1.
    A sample with no frame of its own repeats the one before it, so `num_frames`, the number of
    frames that came into the group newly, can be 0, 1 or 2.
    """

    index: int
    pixels: Pixels  # (2, height, width, 3), oldest first
    pts: tuple[float, float]  # seconds, the grid's times of the two samples
    captured: float  # monotonic seconds of the newest frame
    clock: Clock
    num_frames: int
    picture: Pixels  # the newest frame at the source's own size, for people to look at


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive groups `[first, last]` of one stream: what an answer speaks of. Never spans a gap."""

    first: int
    last: int
    start: float  # seconds, pts of the oldest frame
    end: float  # seconds, pts of the newest frame
    captured: float  # monotonic seconds of the newest frame
    clock: Clock

    def __len__(self) -> int:
        return self.last - self.first + 1
