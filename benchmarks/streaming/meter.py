"""Seconds of the parts of an answer, and the operations they come to on paper."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edge.profiling.ceilings import synchronize

PARTS = ("vision", "prefill", "decode")


class Meter:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.reset()

    def reset(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.operations = 0.0  # of vision and prefill

    @property
    def seeing(self) -> float:
        """Seconds of vision and prefill."""
        return self.seconds["vision"] + self.seconds["prefill"]

    def now(self) -> float:
        synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = self.now()
        yield
        self.seconds[name] += self.now() - started
