"""Read the boxes out of Qwen2-VL's answers, whatever shape they are in.

The model's own form is `<|object_ref_start|>name<|object_ref_end|><|box_start|>(x1,y1),(x2,y2)<|box_end|>`
with whole numbers from 0 to 1000, relative to width and height. Markers may be missing, boxes cut off,
turned round, repeated or invented; `spellings.py` rewrites what others write, `geometry.py` judges the numbers.
Knows text only: no picture, no model.
Every pattern is bounded, so that a megabyte of nonsense costs time in proportion and no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stream.event import Box
from stream.printable import printable
from stream.tasks.geometry import Picture, Written, inside, without_duplicates, without_tiles
from stream.tasks.spellings import KEYS, WIDE, WIDE_COMMA, in_own_form

MAX_BOXES = 50
CANDIDATES = 4  # times max_boxes: what is looked at before repetitions are removed
LABEL_WORDS = 4  # more words before a box than this are a sentence, not a name

_NUMBER = r"\s{0,3}(-?\d{1,6}(?:\.\d{1,17})?)\s{0,3}"
_POINT = rf"\({_NUMBER},{_NUMBER}\)"
_BOX = re.compile(
    rf"{_POINT}\s{{0,3}},?\s{{0,3}}{_POINT}"  # Qwen2-VL: (x1,y1),(x2,y2)
    rf"|\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]"  # its successors: [x1,y1,x2,y2]
)
_REF = re.compile(r"(?:<\|object_ref_start\|>|<ref>)([^<]{0,200})(?:<\|object_ref_end\|>|</ref>)")
_BETWEEN_MARKERS = re.compile(r"(?:<\|box_start\|>|<box>)[^<]{0,200}(?:<\|box_end\|>|</box>)?")
_BROKEN_BOX = re.compile(  # at the end of the text, once the whole boxes are out
    rf"{_POINT}\s{{0,3}},\s{{0,3}}$"
    rf"|(?:{_POINT}\s{{0,3}},?\s{{0,3}})?\([\s\d.,-]{{0,40}}$|\[[\s\d.,-]{{0,60}}$"
)
_SPECIAL = re.compile(r"<\|\w{1,40}\|>|</?(?:ref|box|quad)>")
_CUT_SPECIAL = re.compile(r"<(?:\|\w{0,40}\|?)?$")
_SENTENCE_END = re.compile(rf"[.,;:!?\n\[\](){{}}\"{WIDE}]")
_COMMAS = re.compile(rf"(?: ?[,{WIDE_COMMA}])+(?= ?[,.;:!?{WIDE}]|$)")  # that stood between boxes
_BEFORE_STOP = re.compile(rf" (?=[,.;:!?{WIDE}])")
_LEADING = re.compile(r"^(?:and|the|a|an|at|is|are|in|with)\s+", re.IGNORECASE)
_NO_NAMES = KEYS | {"and", "the", "a", "an", "at", "is", "are", "in", "with"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer with its boxes taken out, and what was amiss with them.

    "capped": there were more than are read. "clamped": one reached beyond the picture and was cut. "truncated": the
    answer ends within one. Left out were: "degenerate", those without an area; "duplicates", those that were there
    already; "pixels", those in pixels of a picture whose size is not known; "tiled", equal ones in an even row.
    """

    text: str  # readable, without special tokens
    boxes: tuple[Box, ...]
    flags: tuple[str, ...]  # sorted


def parse_boxes(text: str, label: str = "", max_boxes: int = MAX_BOXES, picture: Picture | None = None) -> Parsed:
    """The boxes of an answer; `label` names those that the answer itself does not name. Never raises.

    With the `picture` as the model saw it, pixels are understood; without it they are left out and flagged.
    """
    text = in_own_form(text, label)
    found = _found(text, label, CANDIDATES * max_boxes)
    flags = set[str]()
    boxes = inside(found, picture, flags)
    boxes = without_tiles(boxes, flags)
    boxes = without_duplicates(boxes, flags)
    if len(boxes) > max_boxes or len(found) == CANDIDATES * max_boxes:
        flags.add("capped")
    if _is_truncated(text):
        flags.add("truncated")
    return Parsed(_words(text), tuple(boxes[:max_boxes]), tuple(sorted(flags)))


def readable(text: str) -> str:
    """The words of an answer: no boxes, no special tokens, no control characters."""
    return _words(in_own_form(text))


def _words(text: str) -> str:
    text = printable(text)
    text = _BOX.sub(" ", text)
    text = _BETWEEN_MARKERS.sub(" ", text)  # what is left between them is a broken box
    text = _BROKEN_BOX.sub(" ", text)
    text = _CUT_SPECIAL.sub(" ", _SPECIAL.sub(" ", text))
    lines = (_tidy(line) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _tidy(line: str) -> str:
    line = " ".join(line.split())
    line = _COMMAS.sub("", line)
    return _BEFORE_STOP.sub("", line).lstrip(f",;{WIDE} ").strip()


def _found(text: str, label: str, limit: int) -> list[Written]:
    """What looks like a box, with the name that goes before it."""
    boxes: list[Written] = []
    end, name = 0, label
    for match in _BOX.finditer(text):
        name = _name(text[end : match.start()], label) or name
        end = match.end()
        x1, y1, x2, y2 = (float(number) for number in match.groups() if number is not None)
        boxes.append(Written(name, (x1, y1, x2, y2), is_list=match[0].startswith("[")))
        if len(boxes) == limit:
            break
    return boxes


def _name(before: str, label: str) -> str:
    """What the text before a box calls it; nothing where a box follows a box."""
    refs = _REF.findall(before[-600:])
    if refs:
        return _plain(refs[-1])
    words = _SENTENCE_END.split(_SPECIAL.sub(" ", before[-200:]).rstrip(f" ,;:\n([{{\"'{WIDE}"))[-1]
    name = _plain(words)
    if len(name.split()) > LABEL_WORDS:
        return label or name.split()[-1]
    return name


def _plain(name: str) -> str:
    name = " ".join(printable(name).split())
    while (shorter := _LEADING.sub("", name)) != name:
        name = shorter
    return "" if name.lower() in _NO_NAMES else name


def _is_truncated(text: str) -> bool:
    tail = _BOX.sub(" ", text[-200:]).rstrip()
    opened = max(tail.rfind("<|box_start|>"), tail.rfind("<box>"))
    closed = max(tail.rfind("<|box_end|>"), tail.rfind("</box>"))
    return opened > closed or bool(_BROKEN_BOX.search(tail) or _CUT_SPECIAL.search(tail))
