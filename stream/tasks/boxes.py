"""Read the boxes out of Qwen2-VL's answers, whatever shape they are in.

The model's own form is `<|object_ref_start|>name<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`
with whole numbers from 0 to 1000, relative to width and height. Markers may be missing, boxes cut off,
turned round, repeated or invented. Knows text only: no picture, no model.
Every pattern is bounded, so that a megabyte of nonsense costs time in proportion and no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.event import Box
from stream.printable import printable

SCALE = 1000
MAX_BOXES = 50
CANDIDATES = 4  # times max_boxes: what is looked at before repetitions are removed
SAME = 0.9  # intersection over union above which two boxes of one label are one thing
SLACK = 2  # thousandths by which invented boxes may differ from an even row
MIN_TILES = 4
LABEL_WORDS = 4  # more words before a box than this are a sentence, not a name

_NUMBER = r"\s{0,3}(-?\d{1,6}(?:\.\d{1,6})?)\s{0,3}"
_POINT = rf"\({_NUMBER},{_NUMBER}\)"
_BOX = re.compile(
    rf"{_POINT}\s{{0,3}},?\s{{0,3}}{_POINT}"  # Qwen2-VL: (x1,y1),(x2,y2)
    rf"|\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]"  # its successors: [x1,y1,x2,y2]
)
_REF = re.compile(r"(?:<\|object_ref_start\|>|<ref>)([^<]{0,200})(?:<\|object_ref_end\|>|</ref>)")
_BETWEEN_MARKERS = re.compile(r"(?:<\|box_start\|>|<box>)[^<]{0,200}(?:<\|box_end\|>|</box>)?")
_BROKEN_BOX = re.compile(  # at the end of the text, once the whole boxes are out
    rf"{_POINT}\s{{0,3}},\s{{0,3}}$|(?:{_POINT}\s{{0,3}},?\s{{0,3}})?\([\s\d.,-]{{0,40}}$|\[[\s\d.,-]{{0,60}}$"
)
_SPECIAL = re.compile(r"<\|\w{1,40}\|>|</?(?:ref|box)>")
_CUT_SPECIAL = re.compile(r"<(?:\|\w{0,40}\|?)?$")
_SENTENCE_END = re.compile(r"[.,;:!?\n\[\](){}\"]")
_LEADING = re.compile(r"^(?:and|the|a|an|at|is|are|in|with)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer with its boxes taken out."""

    text: str  # readable, without special tokens
    boxes: tuple[Box, ...]
    flags: tuple[str, ...]  # sorted: "capped", "clamped", "degenerate", "duplicates", "tiled", "truncated"


def parse_boxes(text: str, label: str = "", max_boxes: int = MAX_BOXES) -> Parsed:
    """The boxes of an answer; `label` names those that the answer itself does not name. Never raises."""
    found = _found(text, label, CANDIDATES * max_boxes)
    flags = set[str]()
    boxes = _inside(found, flags)
    boxes = _without_tiles(boxes, flags)
    boxes = _without_duplicates(boxes, flags)
    if len(boxes) > max_boxes or len(found) == CANDIDATES * max_boxes:
        flags.add("capped")
    if _is_truncated(text):
        flags.add("truncated")
    return Parsed(readable(text), tuple(boxes[:max_boxes]), tuple(sorted(flags)))


def readable(text: str) -> str:
    """The words of an answer: no boxes, no special tokens, no control characters."""
    text = printable(text)
    text = _BOX.sub(" ", text)
    text = _BETWEEN_MARKERS.sub(" ", text)  # what is left between them is a broken box
    text = _BROKEN_BOX.sub(" ", text)
    text = _CUT_SPECIAL.sub(" ", _SPECIAL.sub(" ", text))
    lines = (_tidy(line) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _tidy(line: str) -> str:
    line = " ".join(line.split())
    line = re.sub(r"(?: ?,)+(?= ?[,.;:!?]|$)", "", line)  # commas that stood between boxes
    return re.sub(r" (?=[,.;:!?])", "", line).lstrip(",; ").strip()


Numbers = tuple[str, float, float, float, float]
"""A name and x1, y1, x2, y2 as they stand in the text."""


def _found(text: str, label: str, limit: int) -> list[Numbers]:
    """What looks like a box, with the name that goes before it."""
    boxes: list[Numbers] = []
    end, name = 0, label
    for match in _BOX.finditer(text):
        name = _name(text[end : match.start()], label) or name
        end = match.end()
        x1, y1, x2, y2 = (float(number) for number in match.groups() if number is not None)
        boxes.append((name, x1, y1, x2, y2))
        if len(boxes) == limit:
            break
    return boxes


def _name(before: str, label: str) -> str:
    """What the text before a box calls it; nothing where a box follows a box."""
    refs = _REF.findall(before[-600:])
    if refs:
        return _plain(refs[-1])
    words = _SENTENCE_END.split(_SPECIAL.sub(" ", before[-200:]).rstrip(" ,;:\n([{"))[-1]
    name = _plain(words)
    if len(name.split()) > LABEL_WORDS:
        return label or name.split()[-1]
    return name


def _plain(name: str) -> str:
    name = " ".join(printable(name).split())
    while (shorter := _LEADING.sub("", name)) != name:
        name = shorter
    return "" if name.lower() in {"and", "the", "a", "an", "at", "is", "are", "in", "with"} else name


def _inside(found: Sequence[Numbers], flags: set[str]) -> list[Box]:
    """Corners ordered, clamped to the picture, in fractions; what has no area is left out."""
    boxes = []
    for label, *corners in found:
        if min(corners) < 0 or max(corners) > SCALE:
            flags.add("clamped")
        left, top, right, bottom = (_fraction(value) for value in corners)
        (x1, x2), (y1, y2) = sorted((left, right)), sorted((top, bottom))
        if x1 < x2 and y1 < y2:
            boxes.append(Box(label, x1, y1, x2, y2))
        else:
            flags.add("degenerate")
    return boxes


def _fraction(value: float) -> float:
    return min(max(value, 0.0), float(SCALE)) / SCALE


def _without_duplicates(boxes: Sequence[Box], flags: set[str]) -> list[Box]:
    kept: list[Box] = []
    for box in boxes:
        if any(box.label == other.label and box.iou(other) > SAME for other in kept):
            flags.add("duplicates")
        else:
            kept.append(box)
    return kept


def _without_tiles(boxes: Sequence[Box], flags: set[str]) -> list[Box]:
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


def _is_truncated(text: str) -> bool:
    tail = _BOX.sub(" ", text[-200:]).rstrip()
    opened = max(tail.rfind("<|box_start|>"), tail.rfind("<box>"))
    closed = max(tail.rfind("<|box_end|>"), tail.rfind("</box>"))
    return opened > closed or bool(_BROKEN_BOX.search(tail) or _CUT_SPECIAL.search(tail))
