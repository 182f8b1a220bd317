"""What time a picture shows: a file's own time, or arrival at this machine.

Knows seconds. Knows no decoder and no network. One law for both clocks: a clock that starts again is not
believed, and time goes on as if it had not.
"""

from __future__ import annotations

DIVERGED = 3.0  # seconds between a device's own clock and arrival, beyond which its clock is not believed
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


class ArrivalClock:
    """Seconds of this machine's monotonic clock, spaced as the device says.

    Pictures arrive in bursts; the device's own times are even, but count from anywhere, drift and jump.
    So they are shifted to the arrival of the least delayed picture, and believed while they stay near it.
    """

    def __init__(self, diverged: float = DIVERGED) -> None:
        self._diverged = diverged
        self._shift: float | None = None
        self._last = float("-inf")

    def pts(self, own: float | None, arrived: float) -> float:
        self._last = max(self._last, arrived if own is None else self._shifted(own, arrived))
        return self._last

    def _shifted(self, own: float, arrived: float) -> float:
        shift = arrived - own
        # No picture is from the future: one that seems so came faster than all before it.
        if self._shift is None or shift < self._shift or shift - self._shift > self._diverged:
            self._shift = shift
        return own + self._shift
