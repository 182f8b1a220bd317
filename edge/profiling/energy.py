"""What a GPU draws, as NVML tells it; where nothing tells, that is said."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from edge.profiling.periodic import PeriodicSampler

INTERVAL = 0.02  # seconds; NVML renews its figure about as often


class PowerUnavailable(Exception):
    """Nothing here tells how much power is drawn; the message says why."""


def power_meter(device: torch.device) -> Callable[[], float]:
    """A function that tells the watts drawn now. Raises PowerUnavailable."""
    if device.type != "cuda":
        raise PowerUnavailable("a CPU's power is not read; NVML tells it of NVIDIA GPUs only")
    try:
        import pynvml
    except ModuleNotFoundError:
        raise PowerUnavailable("nvidia-ml-py is not installed (pip install nvidia-ml-py)") from None
    try:
        pynvml.nvmlInit()
        # By its own name: NVML counts devices that PyTorch may have been told not to see.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetPowerUsage(handle)
    except pynvml.NVMLError as error:
        raise PowerUnavailable(f"NVML: {error}") from None
    return lambda: float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1000


class EnergyMeter(PeriodicSampler):
    """Joules drawn while it is entered."""

    def __init__(self, watts: Callable[[], float], interval: float = INTERVAL) -> None:
        super().__init__("power meter", self._sample, interval)
        self._watts = watts
        self._points: list[tuple[float, float]] = []

    def joules(self, start: float, end: float) -> float:
        """Between two times of time.perf_counter."""
        times, watts = np.array(self._points).T
        moments = np.unique(np.concatenate([[start, end], times[(times > start) & (times < end)]]))
        return float(np.trapezoid(np.interp(moments, times, watts), moments))

    def _sample(self) -> None:
        self._points.append((time.perf_counter(), self._watts()))
