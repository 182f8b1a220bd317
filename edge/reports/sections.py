"""The sections of a page: from a report to rows, pieces and curves.

A section whose part of the report is missing is None or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.profiling.pipeline_steps import FIRST_TOKEN
from edge.profiling.timed import TOKEN
from edge.reports import units
from edge.reports.legend import is_whole, meaning
from edge.reports.plots import Curve, Piece, Scale, Tick, curve, linear, logarithmic, stacked
from edge.reports.reading import Report, decoding, finite, number, part, points, stages, tokens_per_second, value

TIMES = ("p50", "p90", "p99")


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure to be seen first."""

    figure: str
    unit: str
    name: str


def tiles(report: Report) -> list[Tile]:
    rows = stages(report)
    found = [
        (units.seconds(number(report, "live", "age_p50")), "age of an answer, live camera"),
        (units.seconds(number(rows.get(FIRST_TOKEN), "p50")), "from question to first token"),
        (units.plain(tokens_per_second(report), "tokens/s"), "while answering"),
        (units.nbytes(number(report, "memory", "measured", "total")), "memory, at most"),
        (units.seconds(number(report, "model", "load_seconds")), "to load the model"),
    ]
    split = [(*figure.partition(units.SPACE), name) for figure, name in found if figure != units.NOTHING]
    return [Tile(figure, unit, name) for figure, _, unit, name in split]


@dataclass(frozen=True, slots=True)
class StageRow:
    name: str
    family: str
    sentence: str
    is_whole: bool
    n: float | None
    times: dict[str, float]  # p50, p90, p99, in seconds
    places: dict[str, float]  # the same and the floor, in percent of the plot's width
    floor: float | None  # seconds
    achieved: str  # the rate that counts for what it is bound by
    bound_by: str
    share: float | None  # of the ceiling


@dataclass(frozen=True, slots=True)
class Stages:
    rows: tuple[StageRow, ...]  # wholes come last
    ticks: tuple[Tick, ...]

    @property
    def with_floor(self) -> list[StageRow]:
        return [row for row in self.rows if row.share is not None]


def stage_rows(report: Report) -> Stages | None:
    """On one logarithmic scale, so that microseconds and seconds are both seen."""
    found = stages(report)
    if not found:
        return None
    seconds = [finite(row.get(key)) or 0.0 for row in found.values() for key in (*TIMES, "floor")]
    scale = logarithmic(seconds)
    ordered = sorted(found.items(), key=lambda item: is_whole(item[0]))
    return Stages(tuple(_stage(name, row, scale) for name, row in ordered), scale.ticks(units.rounded(units.seconds)))


def _stage(name: str, row: Mapping[str, Any], scale: Scale) -> StageRow:
    times = {key: time for key in TIMES if (time := number(row, key)) is not None}
    floor, means = number(row, "floor"), meaning(name)
    marked = times if floor is None else {**times, "floor": floor}
    places = {key: scale.at(time) for key, time in marked.items()}
    return StageRow(
        name, means.family, means.sentence, is_whole(name), number(row, "n"), times, places, floor,
        _achieved(row), str(row.get("bound_by", "")), number(row, "share_of_ceiling"),
    )  # fmt: skip


def _achieved(row: Mapping[str, Any]) -> str:
    if row.get("bound_by") == "memory":
        return units.prefixed(row.get("bytes_per_second"), "B/s")
    return units.prefixed(row.get("operations_per_second"), "FLOP/s")


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the time of all frames went, by stage; stages that hold others are left out."""

    pieces: tuple[Piece, ...]
    named: tuple[tuple[str, str, float, float], ...]  # name, family, seconds, share; the largest first


def time_shares(report: Report) -> Shares | None:
    totals = {name: max(number(row, "total") or 0.0, 0.0) for name, row in stages(report).items() if not is_whole(name)}
    whole = sum(totals.values())
    if not 0 < whole < float("inf"):
        return None
    ordered = sorted(totals.items(), key=lambda item: -item[1])
    named = tuple((name, meaning(name).family, total, total / whole) for name, total in ordered)
    return Shares(stacked(((meaning(name).family, total) for name, total in totals.items()), whole), named)


def tokens_curve(report: Report) -> Curve | None:
    found = decoding(report)
    if not found:
        return None
    contexts, speeds = zip(*found, strict=True)
    return curve(found, linear(contexts, from_zero=False), linear(speeds), units.whole, units.rounded(units.plain))


def tokens_ceiling(report: Report) -> float | None:
    """Tokens per second if each token took its floor."""
    floor = number(stages(report).get(TOKEN), "floor")
    return 1 / floor if floor else None


@dataclass(frozen=True, slots=True)
class MemoryRow:
    name: str  # predicted, measured
    pieces: tuple[Piece, ...]
    sizes: dict[str, float | None]  # bytes


MEMORY_PARTS = {
    "overhead": "before the model",
    "weights": "weights",
    "kv": "keys and values",
    "embeddings": "embeddings of the window",
    "activations": "activations",
    "kv_and_activations": "keys, values, activations",
    "total": "most at a time",
}


def memory_rows(report: Report) -> list[MemoryRow]:
    """Both on the scale of the larger one; keys, values and activations are measured together."""
    found = {name: part(report, "memory", name) for name in ("predicted", "measured")}
    kinds = [kind for kind in MEMORY_PARTS if kind != "total"]
    sizes = {name: {kind: finite(row.get(kind)) for kind in (*kinds, "total")} for name, row in found.items() if row}
    wholes = [sum(max(row[kind] or 0.0, 0.0) for kind in kinds) for row in sizes.values()]
    whole = max(wholes, default=0.0)
    return [
        MemoryRow(name, stacked(((kind, row[kind] or 0.0) for kind in kinds), whole), row)
        for name, row in sizes.items()
    ]


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    start: float  # seconds
    end: float
    place: Piece


@dataclass(frozen=True, slots=True)
class TimelinePlot:
    curve: Curve
    phases: tuple[Phase, ...]


def memory_timeline(report: Report) -> TimelinePlot | None:
    """With what was done meanwhile: looking at memory begins with loading and ends with the live camera."""
    found = points(value(report, "memory", "timeline"), 0, 1)
    if not found:
        return None
    end = max(at for at, _ in found)
    across = Scale(0.0, end or 1.0, tuple(mark for mark in linear([end]).marks if mark <= (end or 1.0)))
    drawn = curve(
        found, across, linear([size for _, size in found]), units.rounded(units.seconds), units.rounded(units.nbytes)
    )
    return TimelinePlot(drawn, tuple(_phases(report, max(end, 0.0), across)))


def _phases(report: Report, end: float, across: Scale) -> list[Phase]:
    loaded = min(max(number(report, "model", "load_seconds") or 0.0, 0.0), end)
    live = max(end - max(number(report, "live", "seconds") or 0.0, 0.0), loaded)
    spans = (("loading", 0.0, loaded), ("frames, step by step", loaded, live), ("live camera", live, end))
    return [
        Phase(name, start, stop, Piece(name.partition(",")[0], across.at(start), across.at(stop) - across.at(start)))
        for name, start, stop in spans
        if stop > start
    ]
