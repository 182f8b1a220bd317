"""Named intervals of time, as in a trace: what was worked on, from when to when, and what that work costs at least.

Recording one does as little as possible, so that measuring disturbs nothing: a span's cost is computed when the span
is read. Knows no model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge.models.costs import Cost


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    start: float  # seconds of time.perf_counter
    end: float
    cost: Cost | None = None
    context: int | None = None  # tokens in the cache when it began
    thread: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.start


CostFunction = Callable[[], Cost]
"""Computes the cost of a span's work."""


class Spans:
    """Thread-safe. `synchronize` waits until the device has done what it was given."""

    def __init__(self, synchronize: Callable[[], object] = lambda: None) -> None:
        self._synchronize = synchronize
        self._recorded: list[tuple[str, float, float, CostFunction | None, int | None, str]] = []

    def __iter__(self) -> Iterator[Span]:
        return (_span(*recorded) for recorded in list(self._recorded))

    def add(
        self, name: str, start: float, end: float, cost: CostFunction | None = None, context: int | None = None
    ) -> None:
        self._recorded.append((name, start, end, cost, context, threading.current_thread().name))

    def now(self) -> float:
        """The time at which everything so far is done."""
        self._synchronize()
        return time.perf_counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Records one span around a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, start, self.now())

    def named(self, name: str) -> list[Span]:
        return [_span(*recorded) for recorded in list(self._recorded) if recorded[0] == name]

    def names(self) -> list[str]:
        """In the order in which they first began."""
        return list(dict.fromkeys(recorded[0] for recorded in sorted(self._recorded, key=lambda recorded: recorded[1])))

    def clear(self) -> None:
        self._recorded.clear()


def _span(name: str, start: float, end: float, cost: CostFunction | None, context: int | None, thread: str) -> Span:
    return Span(name, start, end, None if cost is None else cost(), context, thread)


@dataclass(frozen=True, slots=True)
class Stage:
    """All spans of one name, in numbers; times in seconds."""

    name: str
    n: int
    p50: float
    p90: float
    p99: float
    total: float
    operations: float  # of all spans together
    nbytes: float

    @classmethod
    def of(cls, name: str, spans: Sequence[Span]) -> Stage:
        seconds = [span.seconds for span in spans]
        p50, p90, p99 = (float(value) for value in np.percentile(seconds, (50, 90, 99)))
        costs = [span.cost for span in spans if span.cost is not None]
        operations, nbytes = sum(cost.operations for cost in costs), sum(cost.nbytes for cost in costs)
        return cls(name, len(spans), p50, p90, p99, sum(seconds), operations, nbytes)
