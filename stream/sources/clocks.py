"""What time a picture of a file shows; for live pictures see arrival.py.

Knows seconds. Knows no decoder and no network. One law for both: a clock that starts again is not believed,
and time goes on as if it had not.
"""

from __future__ import annotations

BACK = 0.5  # seconds back, beyond which a file's clock has started again; less is pictures out of order
FORTH = 10.0  # seconds ahead that are a new clock, in formats that allow for one; as FFmpeg has it


class FileClock:
    """Seconds from a file's first picture; a picture without a time follows the one before it.

    Recordings joined to one file, or a recorder that restarted, begin their time again: the clock goes on, one
    step after the picture before. Without that everything after the seam would lie in slots long filled.
    """

    def __init__(self, step: float, *, jumps: bool = False) -> None:
        self.restarts = 0  # how often the file's own clock began again
        self._step = step  # seconds between pictures, where the file does not say
        self._jumps = jumps  # the format allows a clock to go on anywhere, so a leap is no long picture
        self._origin: float | None = None  # the track's own time of pts 0
        self._last: float | None = None

    def pts(self, own: float | None) -> float:
        expected = 0.0 if self._last is None else self._last + self._step
        if own is None:
            self._last = expected
            return expected
        if self._origin is None:
            self._origin = own - expected
        elif self._starts_again(own - self._origin):
            self.restarts += 1
            self._origin = own - expected
        self._last = max(self._last or 0.0, own - self._origin)
        return self._last

    def _starts_again(self, pts: float) -> bool:
        ahead = pts - (self._last or 0.0)
        return ahead < -BACK or (self._jumps and ahead > FORTH)
