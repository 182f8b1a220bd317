"""The comparison as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.known_quality import brief, said
from benchmarks.peers import BASELINE
from benchmarks.peers.rows import Row
from edge.profiling.background_load import BUSY_ABOVE

TITLE = "one picture 448x448 and 32 text tokens, 64 new tokens; medians, lowest to highest; (x): times as good as {}"
CAPTION = (
    f"busy: others took more than {BUSY_ABOVE:.0%} of the CPU during a run; its figures are too low\n"
    "loss: on pocket, of such a grid with numbers that our own rtn rounds; an engine's own rules may lose less or more"
)
COLUMNS = (
    "engine", "weights", "vision ms", "prefill ms", "first token ms", "decode tokens/s", "peak MiB", "disk MB",
    "GB/s", "n", "others", "loss",
)  # fmt: skip


def table(rows: Sequence[Row]) -> Table:
    baseline = next((row for row in rows if row.name == BASELINE and row.unavailable is None), None)
    drawn = Table(title=TITLE.format(BASELINE), caption=CAPTION, title_justify="left", caption_justify="left")
    for index, column in enumerate(COLUMNS):
        drawn.add_column(column, justify="left" if index < 2 else "right")
    for row in rows:
        drawn.add_row(*(_missing(row) if row.unavailable is not None else _measured(row, baseline)))
    return drawn


def notes(rows: Sequence[Row]) -> list[str]:
    """A line for each engine that could not be measured, or of which something must be known."""
    missing = [f"{row.name}: not measured: {row.unavailable}" for row in rows if row.unavailable is not None]
    losses = [f"{row.name}: such weights lose {said(row.quality)}" for row in rows if "kl_mean" in row.quality]
    return missing + losses + [f"{row.name}: {row.note}" for row in rows if row.note]


def _missing(row: Row) -> list[str]:
    return [row.name, row.variant, "not measured"]


def _measured(row: Row, baseline: Row | None) -> list[str]:
    peak = row.peak_rss_mib if row.peak_gpu_mib is None else row.peak_gpu_mib
    return [
        row.name,
        row.variant,
        _spread(row, "vision_ms", 0),
        _spread(row, "prefill_ms", 0),
        _spread(row, "ttft_ms", 0) + _times(row.ratio("ttft_ms", baseline)),
        _spread(row, "decode_tps", 1) + _times(row.ratio("decode_tps", baseline)),
        _number(peak, 0) + _times(row.ratio("peak_rss_mib" if row.peak_gpu_mib is None else "peak_gpu_mib", baseline)),
        _number(row.disk_mb, 0),
        _number(row.bandwidth, 0),
        str(row.n),
        f"[bold red]{row.others:.0%} busy[/]" if row.busy else f"{row.others:.0%}",
        brief(row.quality),
    ]


def _spread(row: Row, measure: str, digits: int) -> str:
    if measure not in row.spread:
        return "-"
    low, high = row.spread[measure]
    return f"{_number(getattr(row, measure), digits)} [dim]{low:.{digits}f}-{high:.{digits}f}[/]"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:.2f}x)"
