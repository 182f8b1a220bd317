"""Two figures of README: what somebody decides by whether this is for them, each beside what it competes with.

Chooses from the results of the benchmarks; measures nothing. Boxes are told as the intersection over union with the
truth, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.markdown import markdown

Result = Mapping[str, Any]
Read = Callable[[str], Result]
"""The result of a name."""

INT4 = "int4-g128+int8-channel"  # the preset `edge` as `edge quantize` makes it
WINDOW = 8  # groups: what a small machine can watch


def figures(read: Read) -> str:
    """Raises Absent where a result lost the row that is told here."""
    variants, pocket = read("quality-variants")["variants"], read("quality-pocket")
    rows = [lost_boxes(variants), boxes(pocket)]
    return markdown(("what", "here", "beside it"), rows)


def lost_boxes(variants: Iterable[Result]) -> tuple[str, ...]:
    found = first(variants, variant=INT4, method="gptq")["figures"]
    return (
        "what INT4 takes from the boxes of pocket, by gptq, the default",
        f"{found['mean_iou_loss']:.3f} of their overlap with the truth (IoU)",
        f"{found['top1']:.1%} of all tokens stay the likeliest",
    )


def boxes(pocket: Result) -> tuple[str, ...]:
    found, target = pocket["figures"]["mean_iou"], pocket["targets"]["mean_iou"]
    verdict = "reached" if found >= target else "missed"
    return (
        "IoU of pocket's boxes with the truth, scenes it never saw",
        f"{found:.2f}",
        f"target {target:.2f}, {verdict}",
    )


class Absent(LookupError):
    """No result holds what is to be told."""


def first(rows: Iterable[Result], **wanted: object) -> Result:
    """The first of these rows that has all that is wanted. Raises Absent."""
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise Absent(f"no result holds {wanted}, which README tells of: measure that too, or choose another figure.")
