"""The rows as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.known_quality import brief
from benchmarks.streaming.meter import PARTS

TITLE = "a window slides by one group of two frames, one group a second; 32 question tokens, 32 new tokens"
CAPTION = (
    "weights: and below, how far rtn's numbers are from their source on pocket\n"
    "window: groups in the longest x pixels of a side; n: slides measured, and in how many whole periods\n"
    "s/s: seconds of compute per second of video, and of that vision, prefill and decode\n"
    "ratio: transformers over ours on the same groups, median of periods, and half its spread\n"
    "seeing: the same for vision and prefill alone, measured and on paper; TFLOP/s: of these, ours and theirs\n"
    "age: of the answer, from the capture of its newest group to its last token, median of slides\n"
    "error: relative distance of the logits after the question, and what another window would have made of them"
)
COLUMNS = (
    "weights", "window", "n", "ours s/s", "theirs s/s", "ratio", "seeing", "TFLOP/s", "age", "their age",
    "error", "others",
)  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(title=TITLE, caption=CAPTION, title_justify="left", caption_justify="left")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*(f"{first}\n[dim]{second}[/]" for first, second in cells(row)))
    return drawn


def cells(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Two lines each: the figure, and what belongs to it."""
    return [
        (f"{row['variant']}, {row['model']}", brief(row["quality"])),
        (f"{row['window']} x {row['size']}", f"mean {row['mean_groups']:.1f}"),
        (f"{row['slides']}", f"in {row['periods']}"),
        _seconds(row["seconds_per_video_second"], row["parts"]),
        _seconds(row["their_seconds_per_video_second"], row["their_parts"]),
        _ratio(row["ratio"]),
        (f"{row['seeing_ratio']:.2f}x", f"paper {row['seeing_ratio_on_paper']:.2f}x"),
        (f"{row['operations_per_second'] / 1e12:.2f}", f"{row['their_operations_per_second'] / 1e12:.2f}"),
        _age(row["age"]),
        _age(row["their_age"]),
        ("-", "") if row["error"] is None else (f"{row['error']:.1e}", f"other {row['contrast']:.0e}"),
        _others(row),
    ]


def _seconds(whole: float, parts: Mapping[str, float]) -> tuple[str, str]:
    return f"{whole:.2f}", " ".join(f"{parts[part]:.2f}" for part in PARTS)


def _ratio(spread: Mapping[str, Any]) -> tuple[str, str]:
    around = "" if spread["relative"] is None else f"±{spread['relative'] / 2:.0%}"
    return f"[bold]{spread['median']:.2f}x[/]", around


def _age(spread: Mapping[str, Any]) -> tuple[str, str]:
    return f"{spread['median']:.2f}", f"p99 {spread['p99']:.2f}"


def _others(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["others"] is None:
        return "unknown", ""
    return f"{row['others']:.0%}", "[bold red]busy[/]" if row["busy"] else ""
