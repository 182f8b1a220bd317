"""Turn frames into groups: every timing decision, on the source's absolute clock.

Knows times and sizes. Knows no camera, no model, no thread and no clock of its own.
TIMING.md tells the story.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from stream.crop import WHOLE, Crop
from stream.errors import BadPicture
from stream.frame import Frame, Group, Pixels
from stream.resize import resize

ChooseSize = Callable[[int, int], tuple[int, int]]
"""(height, width) of a picture -> (height, width) for the model."""

BETWEEN_SAMPLES = "between_samples"
OUT_OF_ORDER = "out_of_order"
DAMAGED = "damaged"

EARLY = 1e-3
"""Seconds by which a frame may come before its slot and still fill it: containers that count in
milliseconds (Matroska, FLV) round the time of a frame down, and floats near 1e9 s are 1e-7 s apart."""

HOLD = 2.0
"""Seconds without a frame that the sample before it stands in for, while the world goes on unseen."""

HOLD_IN_FILES = 600.0
"""The same in a file, where a picture is shown until the next one: a recorded screen that nobody touched.
A longer hole is more likely a clock that was set than a picture that stood."""


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
    hold: float | None = None,
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
        hold: float | None = None,  # seconds without a frame that the sample before stands in for; None: by the clock
        crop: Crop = WHOLE,  # the part of each picture that becomes a sample
    ) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps is {fps}: it must be a positive, finite number of samples per second.")
        if hold is not None and not hold >= 0:
            raise ValueError(f"hold is {hold}: it must be a number of seconds, zero or more.")
        if (size is None) == (choose_size is None):
            raise ValueError("Give either a fixed size or choose_size, which picks it from the first frame.")
        self.fps = fps
        self.spacing = 1  # asked for: every so-manieth slot of the finest grid; from the next whole group on
        self.size = None if size is None else _checked(size)
        self.resolution_changes = 0
        self.refused: str | None = None  # why the newest frame was dropped; None: it became a sample
        self._spacing = 1  # in force
        self._rate = fps  # samples per second, at that
        self._choose_size = choose_size
        self._hold = hold
        self._crop = crop
        self._slot: int | None = None  # newest slot that is filled
        self._newest: _Sample | None = None
        self._even: _Sample | None = None  # first half of the unfinished group
        self._doubled: tuple[Pixels, Pixels] | None = None  # a sample, and the group of its repetitions
        self._shape: tuple[int, ...] | None = None  # of the newest frame, at the source's own size
        self._begin: float | None = None  # pts of the first frame
        self._end = -math.inf  # pts at which the newest frame stops being shown, as far as is known
        self._is_blind = False  # damaged frames have come since the newest one that was looked at

    @property
    def pending(self) -> int:
        """Received frames in the unfinished group."""
        return 0 if self._even is None else int(self._even.fresh)

    @property
    def seconds(self) -> float:
        """Of video, from the first frame to the end of the newest."""
        return 0.0 if self._begin is None else self._end - self._begin

    def push(self, frame: Frame) -> list[Group]:
        """Takes one frame; gives the groups that it finishes. Looks at its pixels only if it becomes a sample."""
        if frame.damaged:
            self.refused, self._is_blind = DAMAGED, True
            return []
        size = self._fixed_size(frame)  # first: it may refuse the picture, and then nothing has changed
        self._change_spacing()
        slot = math.floor((frame.pts + EARLY) * self._rate)
        is_resized = self._is_resized(frame)
        self.refused = self._reason_against(slot, ends_a_half=is_resized and self._even is not None)
        # The picture is converted before any group is finished: if it cannot be, the half group is still here.
        sample = (
            None if self.refused else _Sample(resize(self._crop.cut(frame.pixels), size), frame, fresh=not frame.held)
        )
        done = self._complete() if is_resized else []
        if sample is not None:
            done += self._bridge(slot, sample)
            done += self._fill(slot, sample)
        self._is_blind = False
        self._end = max(self._end, frame.pts + frame.duration)  # before `_begin`, which makes `seconds` count
        self._begin = frame.pts if self._begin is None else self._begin
        return done

    def flush(self) -> list[Group]:
        """At the end of the stream: the newest sample, for as long as it is shown, and to the end of its group."""
        return self._hold_on() + self._complete()

    def _change_spacing(self) -> None:
        """Between two groups. The newest sample goes on to stand for its slot on the other grid, and begins a group
        there if that is an even one: so the frames of the next window are evenly spaced from its first."""
        spacing = self.spacing
        if spacing == self._spacing or self._even is not None:
            return
        before = self._rate
        self._spacing, self._rate = spacing, self.fps / spacing
        if self._slot is not None and self._newest is not None:
            shown_at = max(self._slot / before, self._newest.frame.pts)
            self._slot = math.floor((shown_at + EARLY) * self._rate)
            self._even = self._newest.again() if self._slot % 2 == 0 else None

    def _reason_against(self, slot: int, ends_a_half: bool) -> str | None:
        if self._slot is None:
            return None
        newest = self._slot + ends_a_half
        if slot > newest:
            return None
        # Half a group completed early (a change of resolution) may lie one slot ahead of its source.
        return BETWEEN_SAMPLES if slot >= newest - 1 else OUT_OF_ORDER

    def _is_resized(self, frame: Frame) -> bool:
        before, self._shape = self._shape, frame.shape
        changed = before is not None and before != self._shape
        self.resolution_changes += changed
        return changed

    def _fixed_size(self, frame: Frame) -> tuple[int, int]:
        height, width = frame.shape[:2]
        if height < 1 or width < 1:
            raise BadPicture(f"The picture is {width}x{height}: it has no pixels. Check the source's size.")
        part = self._crop.size(height, width)
        if self.size is None:
            assert self._choose_size is not None
            self.size = _checked(self._choose_size(*part))
        return self.size

    def _bridge(self, slot: int, sample: _Sample) -> list[Group]:
        """Fills the slots between the newest sample and this one, or ends the run there if it is a gap."""
        if self._slot is None or self._newest is None:
            return []
        if slot - self._slot - 1 > self._longest_hole(sample.frame):
            return self._complete()
        # Two resolutions never share a group: its first half then shows the new picture (see _fill).
        same = self._newest.frame.shape == sample.frame.shape
        stop = slot if same else slot - slot % 2
        return self._repeat(stop)

    def _repeat(self, stop: int) -> list[Group]:
        """The newest sample in every slot before `stop`."""
        assert self._slot is not None and self._newest is not None
        return [group for hole in range(self._slot + 1, stop) for group in self._fill(hole, self._newest.again())]

    def _longest_hole(self, frame: Frame) -> int:
        """Slots before this frame that may be empty."""
        shown = frame.clock == "file" and not self._is_blind
        hold = self._hold if self._hold is not None else HOLD_IN_FILES if shown else HOLD
        # A hole of up to two slots can vanish between two groups with consecutive indices. It is always
        # filled, so that every gap shows in the index and every jump of the index is a gap.
        return max(2, math.floor(min(hold * self._rate, 1e9)))

    def _hold_on(self) -> list[Group]:
        if self._slot is None or self._newest is None or self._newest.frame.clock != "file":
            return []
        stop = math.ceil((self._end - EARLY) * self._rate)
        return self._repeat(min(stop, self._slot + 1 + self._longest_hole(self._newest.frame)))

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
            pixels=self._paired(even.pixels, odd.pixels),
            pts=(2 * index / self._rate, (2 * index + 1) / self._rate),
            captured=odd.frame.captured,
            clock=odd.frame.clock,
            num_frames=even.fresh + odd.fresh,
            picture=odd.frame.pixels,
            spacing=self._spacing,
        )

    def _paired(self, even: Pixels, odd: Pixels) -> Pixels:
        if even is not odd:
            return np.stack([even, odd])
        if self._doubled is None or self._doubled[0] is not even:  # ten minutes of repetitions are one array
            self._doubled = even, np.stack([even, even])
        return self._doubled[1]


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    """Which sizes a model takes, it tells itself."""
    if min(size) < 1:
        raise ValueError(f"Size {size[0]}x{size[1]}: height and width must be positive.")
    return size
