"""What tells when a model of transformers did what. Needs nothing but Python: it is read in other environments, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Stopwatch:
    """The latest time between start and stop."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.seconds, self._started = now, 0.0, 0.0

    def start(self) -> None:
        self._started = self.now()

    def stop(self) -> None:
        self.seconds = self.now() - self._started


class Clock:
    """A streamer that keeps the time of each new token."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.at = now, list[float]()
        self._is_prompt = True  # comes first

    def put(self, tokens: Any) -> None:
        if not self._is_prompt:
            self.at.append(self.now())
        self._is_prompt = False

    def end(self) -> None:
        pass
