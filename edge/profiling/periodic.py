"""Calls a function again and again while other work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class PeriodicSampler:
    """Calls `sample` every `interval` seconds on a thread of its own while it is entered, and once at each end."""

    def __init__(self, name: str, sample: Callable[[], object], interval: float) -> None:
        self._sample_once, self._interval = sample, interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._sample_once()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._sample_once()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            self._sample_once()
