"""When a stream's next answer is due, and when its watching is over.

Knows times: `pts` on the source's clock, `now` on this machine's. Knows no thread and never waits.
"""

from __future__ import annotations

import math

from stream.frame import Window

CLOSE_ENOUGH = 1e-6  # seconds; times on the grid are quotients


class Timetable:
    """Of one stream. Its duration is of the wall for a live source, of video for a file."""

    def __init__(self, every: float, duration: float | None) -> None:
        if not every >= 0 or not (duration is None or duration >= 0):
            raise ValueError(f"every {every} s, duration {duration} s: times are never negative.")
        self.duration = math.inf if duration is None else duration
        self._every = every
        self._started = math.inf  # now
        self._begin: float | None = None  # pts of the first group
        self._answered: float | None = None  # pts of the newest frame of the newest answer

    def start(self, now: float) -> None:
        self._started = now

    def deadline(self, live: bool) -> float:
        """The moment at which the watching is over even if nothing comes."""
        return self._started + self.duration if live else math.inf

    def is_past(self, pts: float) -> bool:
        """A file's group that begins at `pts` comes too late to be watched."""
        if self._begin is None:
            self._begin = pts
        return pts - self._begin >= self.duration - CLOSE_ENOUGH

    def is_due(self, window: Window) -> bool:
        """An answer about this window, seconds of video after the one before."""
        return self._answered is None or window.end - self._answered >= self._every - CLOSE_ENOUGH

    def answer(self, window: Window) -> None:
        """The window is answered now."""
        self._answered = window.end
