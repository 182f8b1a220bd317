"""How a session went, in numbers. Pure values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Summary:
    """received = analysed + sum(dropped) + pending, in frames."""

    stream: str
    received: int
    sampled: int
    analysed: int
    dropped: dict[str, int]  # by reason
    pending: int
    groups: int  # analysed
    events: int  # answers given
    sink_errors: int  # deliveries that failed, and those that a sink had not taken when it was closed
    sink_dropped: int  # deliveries that a slow sink had no room for
    resolution_changes: int
    reconnects: int
    clock_restarts: int  # how often a file's own time began again, and was continued
    video_seconds: float  # by the source's clock: `sampled` and repetitions fill them at the asked rate
    age_p50: float | None  # seconds from the capture of a window's newest frame to publication
    age_p99: float | None  # both over the newest ages; None before the first event
    seconds: float  # by the wall
    ended: str  # "running", "end of file", "stopped", "duration", "defect" or an error's code
    error: str | None = None  # for people: what ended it, or what kept its camera away at the end
    spacing: int = 1  # at the end, between two frames of a live source, in steps of the asked rate
    unchanged: int = 0  # events that said what was said before, where only changes are told

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def percentile(values: Collection[float], percent: float) -> float | None:
    return float(np.percentile(list(values), percent)) if values else None
