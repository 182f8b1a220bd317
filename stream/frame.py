"""The values everything else passes around: Frame, Group, Window.

Knows pictures and times. Knows no camera, no model and no clock of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

Clock = Literal["file", "arrival", "synthetic"]
"""What `pts` counts: time in a file, arrival at this machine, or time in a drawn scene."""


class Picture(Protocol):
    """What can become pixels, and tells their shape before it does."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def pixels(self) -> Pixels: ...


class LazyPicture:
    """Converted when somebody looks, once: most pictures of a stream are dropped by their time alone."""

    def __init__(self, shape: tuple[int, int, int], convert: Callable[[], Pixels]) -> None:
        self.shape: tuple[int, ...] = shape  # (height, width, 3) of what `convert` gives
        self._convert: Callable[[], Pixels] | None = convert
        self._pixels: Pixels | None = None
        self._lock = threading.Lock()

    @property
    def pixels(self) -> Pixels:
        with self._lock:
            if self._convert is not None:
                self._pixels = self._convert()
                self._convert = None  # lets go of the decoder's own picture
            assert self._pixels is not None
            return self._pixels


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture and when it was taken."""

    picture: Pixels | Picture
    pts: float  # seconds on the source's clock; never goes back within one source
    captured: float  # seconds, `time.monotonic()` when the frame reached this process
    clock: Clock
    damaged: bool = False  # data was missing: not all that it shows was there
    duration: float = 0.0  # seconds that a file shows it; 0 where nobody says
    superseded: int = 0  # frames since the one before that were dropped unseen: newer ones took their place
    held: bool = False  # True: no new picture, but word (or a guess of the source) that the last one still stands

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3); asking converts nothing."""
        return self.picture.shape

    @property
    def pixels(self) -> Pixels:
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.pixels


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Two consecutive sampled frames at one fixed size: one temporal patch of Qwen2-VL.

    `index` lies on the stream's absolute grid: group i holds the samples 2i and 2i + 1. Where the engine is slower than
    the camera the grid is a coarser one, with frames `spacing` steps apart, on which indices count anew (pace.py).
    A sample with no frame of its own repeats the one before it, so `num_frames`, the number of
    frames that came into the group newly, can be 0, 1 or 2. Groups of repetitions share their `pixels`.
    """

    index: int
    pixels: Pixels  # (2, height, width, 3), oldest first
    pts: tuple[float, float]  # seconds, the grid's times of the two samples
    captured: float  # monotonic seconds of the newest frame
    clock: Clock
    num_frames: int
    picture: Pixels  # the newest frame at the source's own size, for people to look at
    spacing: int = 1  # steps of the finest grid between two samples

    def follows(self, index: int, spacing: int) -> bool:
        """Whether it comes right after the group with this index and spacing; if not, there is a gap between them."""
        return (self.index, self.spacing) == (index + 1, spacing)


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

    @property
    def spacing(self) -> float:
        """Seconds between two frames."""
        return (self.end - self.start) / (2 * len(self) - 1)

    @property
    def seconds(self) -> float:
        """Of video: from the oldest frame to the end of the newest one's slot."""
        return self.end - self.start + self.spacing
