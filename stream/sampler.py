"""Turn frames into groups: every timing decision, on the source's absolute clock.

Knows times and sizes. Knows no camera, no model, no thread and no clock of its own.
TIMING.md tells the story.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stream.errors import BadPicture
from stream.frame import Frame, Group, Pixels
from stream.resize import CELL, resize

ChooseSize = Callable[[int, int], tuple[int, int]]
"""(height, width) of a picture -> (height, width) for the model."""

BETWEEN_SAMPLES = "between_samples"
OUT_OF_ORDER = "out_of_order"

EARLY = 1e-3
"""Seconds by which a frame may come before its slot and still fill it: containers that count in
milliseconds (Matroska, FLV) round the time of a frame down, and floats near 1e9 s are 1e-7 s apart."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """What fills one slot."""

    pixels: Pixels  # at the stream's fixed size
    frame: Frame
    fresh: bool  # False: a repetition, the frame was counted before

    def again(self) -> _Sample:
        return replace(self, fresh=False)


def groups(
    frames: Iterable[Frame],
    fps: float,
    size: tuple[int, int] | None = None,
    *,
    choose_size: ChooseSize | None = None,
    hold: float = 2.0,
) -> Iterator[Group]:
    """All groups of a finite or endless run of frames."""
    sampler = FrameSampler(fps, size, choose_size=choose_size, hold=hold)
    for frame in frames:
        yield from sampler.push(frame)
    yield from sampler.flush()


class FrameSampler:
    """Frames in, groups out. Slot n of the grid begins at n / fps; group i holds the slots 2i and 2i + 1."""

    def __init__(
        self,
        fps: float,
        size: tuple[int, int] | None = None,
        *,
        choose_size: ChooseSize | None = None,
        hold: float = 2.0,  # seconds without a frame that the previous sample stands in for
    ) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps is {fps}: it must be a positive, finite number of samples per second.")
        if not hold >= 0:
            raise ValueError(f"hold is {hold}: it must be a number of seconds, zero or more.")
        if (size is None) == (choose_size is None):
            raise ValueError("Give either a fixed size or choose_size, which picks it from the first frame.")
        self.fps = fps
        self.size = None if size is None else _checked(size)
        self.resolution_changes = 0
        self.refused: str | None = None  # why the newest frame was dropped; None: it became a sample
        self._choose_size = choose_size
        # A hole of up to two slots can vanish between two groups with consecutive indices. It is always
        # filled, so that every gap shows in the index and every jump of the index is a gap.
        self._longest_hole = max(2, math.floor(min(hold * fps, 1e9)))
        self._slot: int | None = None  # newest slot that is filled
        self._newest: _Sample | None = None
        self._even: _Sample | None = None  # first half of the unfinished group
        self._shape: tuple[int, ...] | None = None  # of the newest frame, at the source's own size

    @property
    def pending(self) -> int:
        """Received frames in the unfinished group."""
        return 0 if self._even is None else int(self._even.fresh)

    def push(self, frame: Frame) -> list[Group]:
        """Takes one frame; gives the groups that it finishes."""
        size = self._fixed_size(frame)  # first: it may refuse the picture, and then nothing has changed
        slot = math.floor((frame.pts + EARLY) * self.fps)
        done = self._complete() if self._is_resized(frame) else []
        self.refused = self._reason_against(slot)
        if self.refused is None:
            sample = _Sample(resize(frame.pixels, size), frame, fresh=not frame.held)
            done += self._bridge(slot, sample)
            done += self._fill(slot, sample)
        return done

    def flush(self) -> list[Group]:
        """At the end of the stream: the unfinished group, completed by repeating its sample."""
        return self._complete()

    def _reason_against(self, slot: int) -> str | None:
        if self._slot is None or slot > self._slot:
            return None
        # Half a group completed early (a change of resolution) may lie one slot ahead of its source.
        return BETWEEN_SAMPLES if slot >= self._slot - 1 else OUT_OF_ORDER

    def _is_resized(self, frame: Frame) -> bool:
        before, self._shape = self._shape, frame.pixels.shape
        changed = before is not None and before != self._shape
        self.resolution_changes += changed
        return changed

    def _fixed_size(self, frame: Frame) -> tuple[int, int]:
        height, width = frame.pixels.shape[:2]
        if height < 1 or width < 1:
            raise BadPicture(f"The picture is {width}x{height}: it has no pixels. Check the source's size.")
        if self.size is None:
            assert self._choose_size is not None
            self.size = _checked(self._choose_size(height, width))
        return self.size

    def _bridge(self, slot: int, sample: _Sample) -> list[Group]:
        """Fills the slots between the newest sample and this one, or ends the run there if it is a gap."""
        if self._slot is None or self._newest is None:
            return []
        if slot - self._slot - 1 > self._longest_hole:
            return self._complete()
        # Two resolutions never share a group: its first half then shows the new picture (see _fill).
        same = self._newest.frame.pixels.shape == sample.frame.pixels.shape
        stop = slot if same else slot - slot % 2
        return [group for hole in range(self._slot + 1, stop) for group in self._fill(hole, self._newest.again())]

    def _complete(self) -> list[Group]:
        if self._even is None or self._slot is None:
            return []
        return self._fill(self._slot + 1, self._even.again())

    def _fill(self, slot: int, sample: _Sample) -> list[Group]:
        self._slot, self._newest = slot, sample
        if slot % 2 == 0:
            self._even = sample
            return []
        even = self._even or sample.again()  # begins in the middle of a group: both halves show this frame
        self._even = None
        return [self._group(slot // 2, even, sample)]

    def _group(self, index: int, even: _Sample, odd: _Sample) -> Group:
        return Group(
            index=index,
            pixels=np.stack([even.pixels, odd.pixels]),
            pts=(2 * index / self.fps, (2 * index + 1) / self.fps),
            captured=odd.frame.captured,
            clock=odd.frame.clock,
            num_frames=even.fresh + odd.fresh,
            picture=odd.frame.pixels,
        )


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if any(side < CELL or side % CELL for side in size):
        raise ValueError(f"Size {size[0]}x{size[1]}: height and width must be positive multiples of {CELL}.")
    return size
