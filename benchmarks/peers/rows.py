"""One line of the comparison: the runs of an engine together, or the reason why there are none."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.known_quality import Quality
from benchmarks.peers.workload import Run
from edge.profiling.background_load import BUSY_ABOVE

MEASURES = ("vision_ms", "prefill_ms", "ttft_ms", "decode_tps")
LESS = {"vision_ms", "prefill_ms", "ttft_ms", "peak_rss_mib", "peak_gpu_mib", "disk_mb"}  # is better


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, and what the machine was like."""

    run: Run
    others: float  # share of the CPU that others took, from 0 to 1
    bandwidth: float  # GB/s just before


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    engine: str
    variant: str
    quality: Quality
    versions: dict[str, str] = field(default_factory=dict)
    vision_ms: float | None = None
    prefill_ms: float | None = None
    ttft_ms: float | None = None
    decode_tps: float | None = None
    peak_rss_mib: float | None = None
    peak_gpu_mib: float | None = None
    disk_mb: float | None = None
    n: int = 0
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)  # lowest and highest of each measure
    others: float = 0.0  # the highest of all runs
    bandwidth: float | None = None  # median, GB/s
    note: str = ""
    unavailable: str | None = None  # the reason

    @property
    def busy(self) -> bool:
        return self.others > BUSY_ABOVE

    @classmethod
    def of(cls, name: str, measured: Sequence[Measured], quality: Quality, failure: str = "") -> Row:
        """The runs of one engine; `failure`: why it has no more of them."""
        run, times = measured[0].run, [times for one in measured for times in one.run.times]
        series = {measure: _known(getattr(one, measure) for one in times) for measure in MEASURES}
        return cls(
            name=name, engine=run.engine, variant=run.variant, quality=quality, versions=run.versions,
            vision_ms=_median(series["vision_ms"]), prefill_ms=_median(series["prefill_ms"]),
            ttft_ms=_median(series["ttft_ms"]), decode_tps=_median(series["decode_tps"]),
            peak_rss_mib=_median([one.run.peak_rss_mib for one in measured]),
            peak_gpu_mib=_median(_known(one.run.peak_gpu_mib for one in measured)), disk_mb=run.disk_mb, n=len(times),
            spread={measure: (min(values), max(values)) for measure, values in series.items() if values},
            others=max(one.others for one in measured), bandwidth=_median([one.bandwidth for one in measured]),
            note="; ".join(filter(None, [run.note, failure])),
        )  # fmt: skip

    def ratio(self, measure: str, baseline: Row | None) -> float | None:
        """How many times better than the baseline; None where one of them has no such figure."""
        ours, theirs = getattr(self, measure), getattr(baseline, measure, None)
        if not ours or not theirs:
            return None
        return float(theirs / ours if measure in LESS else ours / theirs)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        spread = {name: (low, high) for name, (low, high) in values["spread"].items()}
        return cls(**values | {"spread": spread})


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
