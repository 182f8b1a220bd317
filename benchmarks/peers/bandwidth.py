"""How fast can this machine read its memory at this moment? Decoding is bounded by it, and it drifts."""

from __future__ import annotations

import time

import torch

BYTES = 512 << 20  # far more than any cache
PASSES = 7


def read_bandwidth() -> float:
    """GB/s over all cores, the best of several passes."""
    numbers = torch.ones(BYTES // 4, dtype=torch.float32)
    return BYTES / min(_seconds(numbers) for _ in range(PASSES)) / 1e9


def _seconds(numbers: torch.Tensor) -> float:
    started = time.perf_counter()
    numbers.sum()
    return time.perf_counter() - started
