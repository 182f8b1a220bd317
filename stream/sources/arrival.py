"""When a live picture was taken, on this machine's monotonic clock.

Knows the device's own times and the moments of arrival, in seconds. Knows no container but for whether it
counts time at all, and no clock of its own.
"""

from __future__ import annotations

from collections import deque

import av

DIVERGED = 3.0  # seconds between a device's own clock and arrival, beyond which its clock is not believed
MEMORY = 60  # seconds in which the least delayed picture is looked for
FOLLOW = 1e-3  # seconds of shift per second of arrival: more than any clock drifts, less than delays vary

NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS
PIPES = "_pipe"  # pictures one after the other, and `image2pipe`; their flags do not say that they have no times


def has_clock(container: av.container.InputContainer) -> bool:
    """False where FFmpeg makes the times up: it counts 25 pictures a second, whatever the camera does."""
    name = container.format.name
    return not (container.format.flags & NO_TIMESTAMPS or name.endswith(PIPES) or name == "image2pipe")


class ArrivalClock:
    """Seconds of this machine's monotonic clock, spaced as the device says.

    Pictures arrive in bursts; the device's own times are even, but count from anywhere, drift and jump. So
    they are shifted to the arrival of the least delayed picture of the last minute, and believed while they
    stay near it. Down the shift goes at once, since no picture is from the future; up it goes slowly, so that
    it follows a clock that drifts and no picture that was late.
    """

    def __init__(self, diverged: float = DIVERGED) -> None:
        self._diverged = diverged
        self._shift: float | None = None
        self._lags = _LeastOfAMinute()
        self._moved = 0.0  # when the shift was last looked at, monotonic seconds
        self._last = float("-inf")

    def pts(self, own: float | None, arrived: float) -> float:
        self._last = max(self._last, arrived if own is None else own + self._follow(arrived - own, arrived))
        return self._last

    def _follow(self, lag: float, arrived: float) -> float:
        if self._shift is None or lag - self._shift > self._diverged:
            self._lags = _LeastOfAMinute()  # what was seen of the clock before its jump says nothing any more
            self._shift = lag
        least = self._lags.add(lag, arrived)
        allowed = FOLLOW * min(1.0, arrived - self._moved)  # a pause is no reason for a leap
        self._shift = min(least, self._shift + allowed)
        self._moved = arrived
        return self._shift


class _LeastOfAMinute:
    """The least lag of the last minute, kept by the second."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, float]] = deque()  # least lags, each greater than the one before

    def add(self, lag: float, arrived: float) -> float:
        second = int(arrived)
        while self._seconds and self._seconds[-1][1] >= lag:
            self._seconds.pop()
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, lag))
        while self._seconds[0][0] < second - MEMORY:
            self._seconds.popleft()
        return self._seconds[0][1]


class PlayoutClock:
    """When a picture is due that came with seconds of others in one piece, as HLS sends them.

    A piece is played as it was taken, so its arrival says nothing. Whoever fell behind, or misses a piece,
    begins anew at the next picture.
    """

    def __init__(self) -> None:
        self._shift: float | None = None
        self._last = float("-inf")

    def due(self, own: float | None, now: float) -> float:
        self._last = max(self._last, now if own is None else own + self._shifted(now - own))
        return self._last

    def _shifted(self, shift: float) -> float:
        if self._shift is None or abs(shift - self._shift) > DIVERGED:
            self._shift = shift
        return self._shift
