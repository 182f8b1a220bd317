"""Stretches of time with names: what was worked on, from when to when, and what that work costs at least.

While something is measured, as little as possible is done beside it: what a span's work costs at least is worked out
when it is looked at. Knows no model.
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


Work = Callable[[], Cost]
"""What tells the cost of a span's work."""


class Spans:
    """Thread-safe. `finish` waits until the device has done what it was given."""

    def __init__(self, finish: Callable[[], object] = lambda: None) -> None:
        self.finish = finish
        self._noted: list[tuple[str, float, float, Work | None, int | None, str]] = []

    def __iter__(self) -> Iterator[Span]:
        return (_span(*noted) for noted in list(self._noted))

    def add(self, name: str, start: float, end: float, work: Work | None = None, context: int | None = None) -> None:
        self._noted.append((name, start, end, work, context, threading.current_thread().name))

    def now(self) -> float:
        """When everything so far was done."""
        self.finish()
        return time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, start, self.now())

    def named(self, name: str) -> list[Span]:
        return [_span(*noted) for noted in list(self._noted) if noted[0] == name]

    def names(self) -> list[str]:
        """In the order in which they first began."""
        return list(dict.fromkeys(noted[0] for noted in sorted(self._noted, key=lambda noted: noted[1])))

    def clear(self) -> None:
        self._noted.clear()


def _span(name: str, start: float, end: float, work: Work | None, context: int | None, thread: str) -> Span:
    return Span(name, start, end, None if work is None else work(), context, thread)


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
