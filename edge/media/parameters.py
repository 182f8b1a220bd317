"""The numbers beside a picture or video in a message: pixels, sizes, rates, times.

They are qwen-vl-utils' own names, and any kind of number, numpy's too. Knows no pictures and no files.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

from edge.errors import BadMessage
from edge.media.access import Access
from edge.media.limits import Limits, PixelLimits
from edge.media.visual import VisualKind
from stream.resize import smart_resize
from stream.sampler import ChooseSize

FOR_PIXELS = {"min_pixels", "max_pixels", "resized_height", "resized_width"}
FOR_FILES = {"video_start", "video_end", "nframes", "min_frames", "max_frames"}
PARAMETERS = {"image": FOR_PIXELS, "video": FOR_PIXELS | FOR_FILES | {"fps", "total_pixels", "sample_fps"}}

Part = Mapping[str, Any]
"""One part of a message's content."""


def given(part: Part) -> Part:
    """The part without what is None, which is the same as not given."""
    return {name: value for name, value in part.items() if value is not None}


def check(part: Part, kind: VisualKind) -> None:
    """Raises BadMessage for a parameter that is no number, though it may not come to be used."""
    for name in PARAMETERS[kind] & part.keys():
        number(part, name, 0)


def number(part: Part, name: str, default: float) -> float:
    if name not in part:
        return default
    given = part[name]
    value = float(given) if isinstance(given, Real) and not isinstance(given, bool) else math.nan
    if not 0 <= value < math.inf:
        raise BadMessage(f"{name!r} is {reprlib.repr(given)}; it must be a number, zero or more.")
    return value


def choose_size(
    part: Part, kind: VisualKind, model: Limits, access: Access, num_frames: int | None = None
) -> ChooseSize:
    """At which (height, width) the model sees a frame, by the part's parameters and the model's limits."""
    limits = _limits_of(part, model.image if kind == "image" else model.video, model.largest, access, num_frames)
    explicit = {"resized_height", "resized_width"} & part.keys()
    if len(explicit) == 1:
        raise BadMessage("'resized_height' and 'resized_width' go together. Give both.")

    def choose(height: int, width: int) -> tuple[int, int]:
        if explicit:
            height, width = int(part["resized_height"]), int(part["resized_width"])
        return smart_resize(
            height, width, factor=model.cell, min_pixels=limits.min_pixels, max_pixels=limits.max_pixels
        )

    return choose


def _limits_of(part: Part, limits: PixelLimits, largest: int, access: Access, num_frames: int | None) -> PixelLimits:
    low = int(number(part, "min_pixels", min(limits.min_pixels, number(part, "max_pixels", math.inf))))
    high = int(number(part, "max_pixels", max(limits.max_pixels, low)))
    if low > largest:
        raise BadMessage(f"'min_pixels' is {low}; a picture of {largest} pixels is the largest possible.")
    if num_frames is not None and "total_pixels" in part:
        # qwen-vl-utils' rule. Two frames make one group, hence the 2; never below the minimum, plus a margin.
        high = max(min(high, int(number(part, "total_pixels", 0) / num_frames * 2)), int(low * 1.05))
    if not access.above_limits:
        low, high = min(low, limits.max_pixels), min(high, limits.max_pixels)
    return PixelLimits(low, high)
