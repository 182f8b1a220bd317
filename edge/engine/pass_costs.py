"""How many tokens are worth writing in one pass: what more of them cost here, against how often guesses are right.

Learns from passes as they are made. Knows no clock and no tokens.
"""

from __future__ import annotations

WIDTHS = (1, 4, 8, 16)
"""Tokens of a pass. The products of a CPU go by fours, and up to sixteen give each token the numbers that it would get
alone."""

WIDEST = WIDTHS[-1]
WEIGHT = 0.25  # of the newest pass among those of its width
STALE = 256  # passes after which a width that was not used has to be measured again: caches grow, machines get busy


class PassCosts:
    """Running averages of seconds by width; fewer tokens than a width count as that width."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._seen: dict[int, int] = {}  # the number of the last pass of each width
        self._passes = 0

    def measured(self, num_tokens: int, seconds: float) -> None:
        """One pass. The first of a width is not counted: it may compile, or reserve memory."""
        self._passes += 1
        width = width_of(num_tokens)
        if width in self._seen:
            before = self._seconds.get(width, seconds)
            self._seconds[width] = before + WEIGHT * (seconds - before)
        self._seen[width] = self._passes

    def best_width(self, num_guesses: int, acceptance: float) -> int:
        """Tokens of the next pass, the certain one and at most `num_guesses` others: most tokens a second."""
        alone = self._fresh(1)
        if alone is None:
            return 1  # nothing to compare with
        best, most = 1, 1 / alone
        seconds = alone
        for width in WIDTHS[1 : WIDTHS.index(width_of(num_guesses + 1)) + 1]:
            seconds = self._fresh(width) or seconds  # unknown: tried, as if it took no longer than a narrower one
            num_tokens = min(width, num_guesses + 1)
            if (speed := expected_tokens(num_tokens, acceptance) / seconds) > most:
                best, most = num_tokens, speed
        return best

    def _fresh(self, width: int) -> float | None:
        is_stale = self._passes - self._seen.get(width, 0) > STALE
        return None if is_stale else self._seconds.get(width)


def width_of(num_tokens: int) -> int:
    return next((width for width in WIDTHS if width >= num_tokens), WIDEST)


def expected_tokens(num_tokens: int, acceptance: float) -> float:
    """How many of a pass's tokens will have been of use: the first is certain, each other needs all before it."""
    return sum(acceptance**n for n in range(num_tokens))
