"""How much memory is in use, and when: of a CUDA device by PyTorch's allocator, of a CPU by the process itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

import torch

from edge.cgroups import memory_limits
from edge.profiling.periodic import PeriodicSampler

STATM = Path("/proc/self/statm")
MEMINFO = Path("/proc/meminfo")
INTERVAL = 0.05  # seconds between two looks; one takes 20 microseconds


def used(device: torch.device) -> int:
    """Bytes: allocated and cached by PyTorch on a CUDA device; resident of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    if STATM.exists():
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def free(device: torch.device) -> int:
    """Bytes that can still be had; on a CPU by this process, in its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([_available(), *(level.free for level in memory_limits())])


def total(device: torch.device) -> int:
    """Bytes of the whole device; of a CPU's memory what this process may have in its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *(level.limit for level in memory_limits())])


def _available() -> int:
    for line in MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return 0


def gpu_overheads(device: torch.device) -> dict[str, int]:
    """Of a CUDA device, bytes: what PyTorch's allocator reserves beyond what was ever allocated, and what the CUDA
    context and other programs use. Empty for a CPU."""
    if device.type != "cuda":
        return {}
    available, whole = torch.cuda.mem_get_info(device)
    return {
        "allocator_overhead": torch.cuda.max_memory_reserved(device) - torch.cuda.max_memory_allocated(device),
        "beside_pytorch": whole - available - torch.cuda.memory_reserved(device),
    }


class MemoryTimeline(PeriodicSampler):
    """Memory in use over time while it is entered, and the most of it."""

    def __init__(self, device: torch.device, interval: float = INTERVAL) -> None:
        super().__init__("memory timeline", self._sample, interval)
        self.device = device
        self.points: list[tuple[float, int]] = []  # seconds of time.perf_counter, bytes

    @property
    def peak(self) -> int:
        """Also of moments between two looks, where the device keeps count."""
        seen = max((nbytes for _, nbytes in self.points), default=0)
        return max(seen, torch.cuda.max_memory_reserved(self.device)) if self.device.type == "cuda" else seen

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        return super().__enter__()

    def _sample(self) -> None:
        self.points.append((time.perf_counter(), used(self.device)))
