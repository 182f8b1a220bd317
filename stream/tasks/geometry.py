"""From numbers in a text to boxes that can be trusted: units, corners, repetitions, inventions.

Numbers are thousandths of width and height, as Qwen2-VL was taught; fractions where none is above 1; pixels where they
are written as Qwen2.5-VL writes them and go beyond 1000, or where the caller says so. Knows no text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.event import Box

SCALE = 1000
THIN = 1.5 / SCALE  # of width or height; nothing real is thinner, a misread unit is
ABOUT = 0.5  # by which a fraction may lie outside and still be one
SAME = 0.9  # intersection over union above which two boxes of one label are one thing
SLACK = 2  # thousandths by which invented boxes may differ from an even row
MIN_TILES = 4

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Written:
    """A box as it stands in the text."""

    label: str
    corners: Corners  # x1, y1, x2, y2
    is_list: bool  # [x1,y1,x2,y2]: as Qwen2.5-VL writes pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """What the model saw, where numbers may be its pixels."""

    height: int
    width: int
    in_pixels: bool = False  # whatever the numbers are; otherwise where lists go beyond 1000


def inside(found: Sequence[Written], picture: Picture | None, flags: set[str]) -> list[Box]:
    """Corners ordered, clamped to the picture, in fractions; what has no area is left out."""
    has_pixels = any(one.is_list and max(one.corners) > SCALE for one in found)
    boxes = []
    for one in found:
        is_pixels = (picture is not None and picture.in_pixels) or (has_pixels and one.is_list)
        if is_pixels and picture is None:
            flags.add("pixels")
            continue
        width, height = _units(one.corners, picture if is_pixels else None)
        x1, y1, x2, y2 = one.corners
        box = _clamped(one.label, (x1 / width, y1 / height, x2 / width, y2 / height), flags)
        if box.x2 - box.x1 > THIN and box.y2 - box.y1 > THIN:
            boxes.append(box)
        else:
            flags.add("degenerate")
    return boxes


def _units(corners: Corners, picture: Picture | None) -> tuple[float, float]:
    """What the whole width and the whole height are called."""
    if picture is not None:
        return picture.width, picture.height
    return (1, 1) if _are_fractions(corners) else (SCALE, SCALE)


def _are_fractions(corners: Corners) -> bool:
    if min(corners) < -ABOUT or max(corners) > 1 + ABOUT:
        return False
    return max(corners) <= 1 or any(not value.is_integer() for value in corners)


def _clamped(label: str, fractions: Corners, flags: set[str]) -> Box:
    if min(fractions) < 0 or max(fractions) > 1:
        flags.add("clamped")
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in fractions)
    (x1, x2), (y1, y2) = sorted((left, right)), sorted((top, bottom))
    return Box(label, x1, y1, x2, y2)


def without_duplicates(boxes: Sequence[Box], flags: set[str]) -> list[Box]:
    kept: list[Box] = []
    for box in boxes:
        if any(box.label == other.label and box.iou(other) > SAME for other in kept):
            flags.add("duplicates")
        else:
            kept.append(box)
    return kept


def without_tiles(boxes: Sequence[Box], flags: set[str]) -> list[Box]:
    """A model that loops lays equal boxes in an even row or grid; real things never stand so exactly."""
    invented: set[int] = set()
    for alike in _equal_in_size(boxes):
        invented |= _in_even_steps(boxes, alike) | _in_a_grid(boxes, alike)
    if invented:
        flags.add("tiled")
    return [box for number, box in enumerate(boxes) if number not in invented]


def _equal_in_size(boxes: Sequence[Box]) -> list[list[int]]:
    """Positions of boxes of (nearly) the same width and height."""
    classes: list[list[int]] = []
    for number, box in enumerate(boxes):
        for alike in classes:
            first = boxes[alike[0]]
            if _near(box.x2 - box.x1, first.x2 - first.x1) and _near(box.y2 - box.y1, first.y2 - first.y1):
                alike.append(number)
                break
        else:
            classes.append([number])
    return [alike for alike in classes if len(alike) >= MIN_TILES]


def _in_even_steps(boxes: Sequence[Box], alike: Sequence[int]) -> set[int]:
    """Members of runs in which every box is one and the same step further than the one before."""
    invented: set[int] = set()
    run = [alike[0]]
    step = (0.0, 0.0)
    for before, number in pairwise(alike):
        here = (boxes[number].x1 - boxes[before].x1, boxes[number].y1 - boxes[before].y1)
        if len(run) > 1 and _near(here[0], step[0]) and _near(here[1], step[1]):
            run.append(number)
        else:
            run, step = [before, number], here
        stands_still = _near(step[0], 0) and _near(step[1], 0)  # a repetition, not a row
        if len(run) >= MIN_TILES and not stands_still:
            invented.update(run)
    return invented


def _in_a_grid(boxes: Sequence[Box], alike: Sequence[int]) -> set[int]:
    """All of them, if they fill evenly spaced columns and rows (but for a cut-off last row)."""
    places = {(_rounded(boxes[number].x1), _rounded(boxes[number].y1)) for number in alike}
    columns, rows = _levels([x for x, _ in places]), _levels([y for _, y in places])
    if len(columns) < 2 or len(rows) < 2 or not (_is_even(columns) and _is_even(rows)):
        return set()
    is_full = len(columns) * (len(rows) - 1) < len(places) <= len(columns) * len(rows)
    return set(alike) if is_full and len(places) >= MIN_TILES else set()


def _levels(values: Sequence[int]) -> list[int]:
    """Distinct values, those within the slack counted once."""
    levels: list[int] = []
    for value in sorted(values):
        if not levels or value - levels[-1] > SLACK:
            levels.append(value)
    return levels


def _is_even(levels: Sequence[int]) -> bool:
    steps = [after - before for before, after in pairwise(levels)]
    return max(steps) - min(steps) <= SLACK


def _rounded(fraction: float) -> int:
    return round(fraction * SCALE)


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=(SLACK + 0.5) / SCALE)
