"""What a GPU draws, as NVML tells it; where nothing tells, that is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
import torch

EVERY = 0.02  # seconds; NVML renews its figure about as often


class NoPower(Exception):
    """Nothing here tells how much power is drawn; the message says why."""


def power_meter(device: torch.device) -> Callable[[], float]:
    """A function that tells the watts drawn now. Raises NoPower."""
    if device.type != "cuda":
        raise NoPower("a CPU's power is not read; NVML tells it of NVIDIA GPUs only")
    try:
        import pynvml
    except ModuleNotFoundError:
        raise NoPower("nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
        pynvml.nvmlDeviceGetPowerUsage(handle)
    except pynvml.NVMLError as error:
        raise NoPower(f"NVML: {error}") from None
    return lambda: float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1000


class Energy:
    """Joules drawn while it is entered."""

    def __init__(self, watts: Callable[[], float], every: float = EVERY) -> None:
        self._watts, self._every = watts, every
        self._points: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="power meter", daemon=True)

    def joules(self, start: float, end: float) -> float:
        """Between two times of time.perf_counter."""
        times, watts = np.array(self._points).T
        moments = np.unique(np.concatenate([[start, end], times[(times > start) & (times < end)]]))
        return float(np.trapezoid(np.interp(moments, times, watts), moments))

    def __enter__(self) -> Self:
        self._note()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._note()

    def _look(self) -> None:
        while not self._over.wait(self._every):
            self._note()

    def _note(self) -> None:
        self._points.append((time.perf_counter(), self._watts()))
