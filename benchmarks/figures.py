"""The five figures of README: what somebody decides by whether this is for them, each beside what it competes with.

Chooses from the results of the benchmarks; measures nothing. Ages in seconds, memory in GiB, boxes as the
intersection over union with the truth, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.markdown import markdown

Result = Mapping[str, Any]
Read = Callable[[str], Result]
"""The result of a name."""

INT4 = "int4-g128+int8-channel"  # the preset `edge` as `edge quantize` makes it
WINDOW, SIDE = 8, 280  # groups, pixels: what a small machine can watch


def figures(read: Read) -> str:
    """Raises LookupError where a result lost the row that is told here."""
    peers, variants, pocket = read("peers-cpu")["rows"], read("quality-variants")["variants"], read("quality-pocket")
    rows = [age(read("streaming-cpu")["rows"]), tokens(peers), memory(peers), lost_boxes(variants), boxes(pocket)]
    return markdown(("what", "here", "beside it"), rows)


def age(slides: Iterable[Result]) -> tuple[str, ...]:
    wanted = {"variant": INT4, "window": WINDOW, "size": SIDE}
    found = _first(slides, **wanted)
    return (
        f"age of an answer about a window of {WINDOW} groups of {SIDE}x{SIDE}, INT4",
        f"{found['age']['median']:.1f} s",
        f"{found['their_age']['median']:.1f} s where transformers reads the whole window again, in bfloat16",
    )


def tokens(peers: Iterable[Result]) -> tuple[str, ...]:
    measured = [peer for peer in peers if peer["unavailable"] is None]
    ours, theirs = _first(measured, name="ours"), _first(measured, name="transformers")
    best = max(measured, key=lambda peer: float(peer["decode_tps"]))
    return (
        "tokens per second, INT4",
        f"{ours['decode_tps']:.1f}",
        f"{theirs['decode_tps']:.1f} transformers in bfloat16; {best['decode_tps']:.1f} {best['name']}, the fastest",
    )


def memory(peers: Iterable[Result]) -> tuple[str, ...]:
    ours, theirs = (_first(peers, name=name)["peak_rss_mib"] / 1024 for name in ("ours", "transformers"))
    return "memory at its highest, INT4", f"{ours:.1f} GiB", f"{theirs:.1f} GiB transformers in bfloat16"


def lost_boxes(variants: Iterable[Result]) -> tuple[str, ...]:
    found = _first(variants, variant=INT4, method="gptq")["figures"]
    return (
        "what INT4 takes from the boxes of pocket, by gptq, the default",
        f"{found['mean_iou_loss']:.3f} of their IoU",
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


def _first(rows: Iterable[Result], **wanted: object) -> Result:
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise LookupError(f"README tells of {wanted}, which no result holds: measure that too, or choose another figure.")
