"""Other ways to write a box, rewritten as Qwen2-VL writes its own.

JSON as Qwen2.5-VL and people write it, `{"bbox_2d": [x1, y1, x2, y2], "label": "dog"}`: with either quote, in a fence,
alone or in a list, with a comma too many, cut off anywhere; its lists stay in brackets, because their numbers may be
pixels. Quadrangles, `<|quad_start|>` and four points, become the box around them. Full-width parentheses and commas, as
Chinese answers have them, become narrow where they hold a box.
Knows text only, and changes nothing in a text without such things. Every pattern is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

WIDE_COMMA = "\uff0c"
WIDE = f"{WIDE_COMMA}\u3001\u3002\uff1b\uff1a\uff01\uff1f\uff08\uff09"  # , and . ; : ! ? ( ) of Chinese text

BOX, END_BOX = "<|box_start|>", "<|box_end|>"
REF, END_REF = "<|object_ref_start|>", "<|object_ref_end|>"
NO_AREA = "[0,0,0,0]"  # for what was meant as a box and cannot be read as one: it is reported as degenerate

NAMES = ("label", "name", "object", "class", "category", "ref", "text_content", "description")
HOLDERS = frozenset({"bbox_2d", "bbox", "box_2d", "bbox2d", "quad_2d", "point_2d", "coordinates"})
KEYS = HOLDERS | {"json", "label"}
"""Words before a box that name its format, never a thing."""

_WIDE_BOX = re.compile(r"[(\uff08][-\s\d.,()\uff08\uff09\uff0c]{0,200}+")
_NARROW = str.maketrans("\uff08\uff09\uff0c", "(),")
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d{1,17})?")
_OBJECT = re.compile(r"\{([^{}]{0,2000}+)(\}|$)")
_CUT_OBJECT = re.compile(r"\{\s{0,9}(?:[\"'][^{}]{0,2000})?$")
_PAIR = re.compile(r"([\"'])(\w[^\"'\n]{0,60})\1\s{0,9}[:\uff1a]\s{0,9}")
_STRING = re.compile(r"\"((?:\\.|[^\"\\]){0,200}+)\"|'((?:\\.|[^'\\]){0,200}+)'")
_LISTS = re.compile(r"[\[(][-\s\d.,\"'\uff0c\[\]()]{0,400}+")
_LIST = re.compile(r"[\[(]([^\[\]()]{0,200}+)([\])]|$)")
_FENCED = re.compile(r"```\w{0,10}\s{0,9}([\[{(][^`]{0,20000}+)(?:```|$)")
_BARE_KEY = re.compile(r"[\"']?\b(?:bbox(?:_?2d)?|box_2d)[\"']?\s{0,3}[:=\uff1a]\s{0,3}(?=\[)")
_BEFORE = re.compile(rf"(?:\{{\s{{0,9}}[\"']\w{{1,30}}[\"']\s{{0,9}}:\s{{0,9}})?\[\s{{0,9}}(?={re.escape(REF)})")
_AFTER = re.compile(rf"(?<={re.escape(END_BOX)})\s{{0,9}},?\s{{0,9}}\](?:\s{{0,9}}\}})?")
_BETWEEN = re.compile(rf"(?<={re.escape(END_BOX)}),\s{{1,9}}(?={re.escape(REF)})")
_QUAD = re.compile(r"(?:<\|quad_start\|>|<quad>)([^<]{0,200})(<\|quad_end\|>|</quad>)?")


def in_own_form(text: str, label: str = "") -> str:
    """The text with its boxes as `<|object_ref_start|>name<|object_ref_end|><|box_start|>...<|box_end|>`.

    What is cut off ends in an open `<|box_start|>`. `label` names what JSON does not name.
    """
    if "\uff08" in text:
        text = _WIDE_BOX.sub(_narrow, text)
    if "quad" in text:
        text = _QUAD.sub(_box_around, text)
    text = _FENCED.sub(_inside_fence, text)
    if "{" in text:
        text = _CUT_OBJECT.sub(BOX, _OBJECT.sub(lambda match: _object(match, label), text))
        text = _without_brackets(text)
    return _BARE_KEY.sub("", text)


def _narrow(match: re.Match[str]) -> str:
    """Points between parentheses; anything else keeps its punctuation."""
    run = match[0]
    if len(_NUMBER.findall(run)) < 4:
        return run
    is_cut = match.end() == len(match.string)
    end = len(run) if is_cut else 1 + max(run.rfind(")"), run.rfind("\uff09"))
    return run[:end].translate(_NARROW) + run[end:]


def _inside_fence(match: re.Match[str]) -> str:
    return f"\n{match[1]}\n"


def _without_brackets(text: str) -> str:
    """Without the list that held the objects; one that does not end was cut off."""
    text, opened = _BEFORE.subn("", text)
    text, closed = _AFTER.subn("", text)
    text = _BETWEEN.sub(", ", text)
    return text + BOX if opened > closed else text


def _object(match: re.Match[str], label: str) -> str:
    """One JSON object, rewritten if it holds a box."""
    inside, end = match.groups()
    names, boxes = _values(inside)
    if not boxes:
        return match[0]
    name = next((names[key] for key in NAMES if key in names), "")
    pieces = [_own_form(name or _as_name(key), found, label) for key, found in boxes.items()]
    return ", ".join(pieces) + ("" if end else BOX)


def _holds_boxes(key: str) -> bool:
    return key.lower() in HOLDERS or "box" in key.lower()


def _as_name(key: str) -> str:
    """{"dog": [x1, y1, x2, y2]} names a dog."""
    return "" if _holds_boxes(key) else key


def _own_form(name: str, boxes: Sequence[str], label: str) -> str:
    name = re.sub(r"[<>\[\](){}]", " ", name)  # no mark of ours comes out of a name
    name = name or (label if boxes else "")
    return f"{REF}{name}{END_REF}" + "".join(f"{BOX}{box}{END_BOX}" for box in boxes)


def _values(inside: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Keys with their strings, and keys with their boxes, as far as these are whole."""
    strings: dict[str, str] = {}
    boxes: dict[str, list[str]] = {}
    for pair in _PAIR.finditer(inside):
        key = pair[2]
        if string := _STRING.match(inside, pair.end()):
            strings[key] = _unescaped(string[1] if string[1] is not None else string[2])
            if _holds_boxes(key) and _NUMBER.match(strings[key]):
                boxes[key] = list(_boxes(f"[{strings[key]}]", is_cut=False))
        elif lists := _LISTS.match(inside, pair.end()):
            found = list(_boxes(lists[0], is_cut=lists.end() == len(inside)))
            if _holds_boxes(key) or any(box != NO_AREA for box in found):
                boxes[key] = found
    own = {key: found for key, found in boxes.items() if _holds_boxes(key)}
    return strings, own or boxes


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text.replace("\\", "")


def _boxes(lists: str, is_cut: bool) -> Iterator[str]:
    """[x1,y1,x2,y2] for a list of four numbers, for a list of such, for one of eight, and for points."""
    points: list[str] = []
    for numbers, end in _LIST.findall(lists):
        found = _NUMBER.findall(numbers)
        if not end:  # the text stops here, or goes on with something else than numbers
            yield from [] if is_cut else [NO_AREA]
            return
        if len(found) == 4:
            yield f"[{','.join(found)}]"
        elif len(found) == 2:
            points += found
        elif found:
            yield _around(found) if len(found) == 8 else NO_AREA
    if points and not (is_cut and lists.count("[") > lists.count("]")):
        yield _around(points)


def _around(numbers: Sequence[str]) -> str:
    """The box around points, given as x, y, x, y..."""
    across, down = sorted(numbers[::2], key=float), sorted(numbers[1::2], key=float)
    return f"[{across[0]},{down[0]},{across[-1]},{down[-1]}]"


def _box_around(match: re.Match[str]) -> str:
    """A quadrangle between its marks."""
    numbers, end = _NUMBER.findall(match[1]), END_BOX if match[2] else ""
    if len(numbers) == 8:
        x1, y1, x2, y2 = _around(numbers)[1:-1].split(",")
        return f"{BOX}({x1},{y1}),({x2},{y2}){end}"
    return f"{BOX}{NO_AREA if end else ''}{end}"
