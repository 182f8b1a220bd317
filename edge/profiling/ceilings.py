"""What a device can give at best, measured here and now: bandwidth of its memory, rates of its matrix products.

A figure is worth something beside the ceiling of the same minute: machines differ, and are shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

REPETITIONS = 5  # the best counts: a ceiling is what nothing disturbed
PATIENCE = 1.0  # seconds; what takes longer is not repeated: warming up is no great part of it
READ_BYTES = 1 << 28  # far more than any cache holds
GEMM_SIDE = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """None: the device cannot do it."""

    read: float  # bytes per second
    copy: float  # bytes per second, read and written ones together
    bf16: float | None  # floating-point operations per second of a large matrix product
    fp32: float | None
    int8: float | None  # operations per second

    def to_dict(self) -> dict[str, float | None]:
        return asdict(self)


def measure_ceilings(device: torch.device, repetitions: int = REPETITIONS) -> Ceilings:
    """A few seconds, with as many threads as PyTorch uses."""
    read, copy = memory_bandwidth(device, repetitions)
    return Ceilings(
        read=read,
        copy=copy,
        bf16=_gemm(torch.bfloat16, device, repetitions),
        fp32=_gemm(torch.float32, device, repetitions),
        int8=_gemm(torch.int8, device, repetitions),
    )


def memory_bandwidth(device: torch.device, repetitions: int = REPETITIONS) -> tuple[float, float]:
    """Bytes per second when reading, and when copying."""
    numbers = torch.ones(READ_BYTES // 4, dtype=torch.float32, device=device)
    other = torch.empty_like(numbers)
    read = best(lambda: numbers.sum(), device, repetitions)
    copy = best(lambda: other.copy_(numbers), device, repetitions)
    return READ_BYTES / read, 2 * READ_BYTES / copy


def best(work: Callable[[], object], device: torch.device, repetitions: int = REPETITIONS) -> float:
    """Seconds of the quickest of several runs, after one that warms up; fewer of work that takes long."""
    first = timed(work, device)
    if first > PATIENCE:  # as products in bfloat16 do where the processor has none
        return first
    return min(timed(work, device) for _ in range(repetitions))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has finished."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _gemm(dtype: torch.dtype, device: torch.device, repetitions: int) -> float | None:
    side = GEMM_SIDE.get(device.type, GEMM_SIDE["cpu"])
    multiply: Callable[[Tensor, Tensor], Tensor] = torch.mm
    if dtype == torch.int8:
        multiply = torch._int_mm
        a = torch.randint(-8, 8, (side, side), dtype=dtype, device=device)
    else:
        a = torch.randn(side, side, device=device).to(dtype)
    try:
        return 2 * side**3 / best(lambda: multiply(a, a.T), device, repetitions)
    except (RuntimeError, NotImplementedError):
        return None
