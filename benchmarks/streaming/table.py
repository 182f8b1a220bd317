"""The rows as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.streaming.meter import PARTS

TITLE = "a window slides by one group of two frames, one group a second; 32 question tokens, 32 new tokens"
CAPTION = (
    "s/s: seconds of compute per second of video; (v p d): vision, prefill, decode\n"
    "ratio: seconds of transformers over ours, on the same groups, median of whole periods ± half its spread\n"
    "seen: the same for vision and prefill alone, measured and on paper; TFLOP/s: of these, ours and theirs\n"
    "age: of the answer, from the capture of its newest group to its last token, median and p99\n"
    "error: relative distance of the logits after the question, where both sides have the same weights"
)
COLUMNS = (
    "model", "weights", "window", "size", "n", "ours s/s (v p d)", "theirs s/s (v p d)", "ratio", "seen", "on paper",
    "TFLOP/s", "age", "their age", "error", "others",
)  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    drawn = Table(title=TITLE, caption=CAPTION, title_justify="left", caption_justify="left")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="left" if index < 2 else "right")
    for row in rows:
        drawn.add_row(*cells(row))
    return drawn


def cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["model"],
        row["variant"],
        f"{row['window']} (mean {row['mean_groups']:.1f})",
        f"{row['size']}",
        f"{row['periods']} x {row['slides'] // row['periods']}",
        f"{row['seconds_per_video_second']:.2f} {_parts(row['parts'])}",
        f"{row['their_seconds_per_video_second']:.2f} {_parts(row['their_parts'])}",
        _ratio(row["ratio"]),
        f"{row['seeing_ratio']:.2f}x",
        f"{row['seeing_ratio_on_paper']:.2f}x",
        f"{row['operations_per_second'] / 1e12:.2f} [dim]{row['their_operations_per_second'] / 1e12:.2f}[/]",
        _age(row["age"]),
        _age(row["their_age"]),
        "-" if row["relative_error"] is None else f"{row['relative_error']:.1e}",
        _others(row),
    ]


def _parts(seconds: Mapping[str, float]) -> str:
    return f"[dim]({' '.join(f'{seconds[part]:.2f}' for part in PARTS)})[/]"


def _ratio(spread: Mapping[str, Any]) -> str:
    around = "" if spread["relative"] is None else f" [dim]±{spread['relative'] / 2:.0%}[/]"
    return f"[bold]{spread['median']:.2f}x[/]{around}"


def _age(spread: Mapping[str, Any]) -> str:
    return f"{spread['median']:.2f} [dim]{spread['p99']:.2f}[/]"


def _others(row: Mapping[str, Any]) -> str:
    if row["others"] is None:
        return "unknown"
    return f"[bold red]{row['others']:.0%} busy[/]" if row["busy"] else f"{row['others']:.0%}"
