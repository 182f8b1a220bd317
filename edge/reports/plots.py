"""Where things lie in a plot, in percent of its width and height: a template draws them at any size.

Text keeps its size and lines their width on a narrow screen, as nothing is scaled but positions. Knows no report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

SMALLEST, LARGEST = 1e-12, 1e18  # what is beyond is drawn at the edge
MOST_DECADES = 6  # with a tick


@dataclass(frozen=True, slots=True)
class Scale:
    low: float
    high: float
    marks: tuple[float, ...]  # values that get a tick
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Percent, from 0 to 100."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return round(100 * (value - low) / (high - low), 3)

    def ticks(self, write: Callable[[float], str]) -> tuple[Tick, ...]:
        return tuple(Tick(self.at(mark), write(mark)) for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Tick:
    at: float  # percent
    label: str


def logarithmic(values: Iterable[float]) -> Scale:
    """Whole decades around the values that are above zero."""
    exponents = [math.log10(min(max(value, SMALLEST), LARGEST)) for value in values if value > 0] or [0.0]
    first, last = math.floor(min(exponents)), math.ceil(max(exponents))
    last = max(last, first + 1)
    step = math.ceil((last - first) / MOST_DECADES)
    marks = tuple(10.0**exponent for exponent in range(first, last + 1, step))
    return Scale(10.0**first, 10.0**last, marks, logarithmic=True)


def linear(values: Iterable[float], from_zero: bool = True) -> Scale:
    """Round numbers around the values."""
    inside = [min(max(value, 0.0), LARGEST) for value in values] or [0.0]
    low, high = 0.0 if from_zero else min(inside), max(inside)
    step = round_step((max(high - low, abs(high) * 1e-6) or 1.0) / 4)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return Scale(first * step, last * step, tuple(number * step for number in range(first, last + 1)))


def round_step(span: float) -> float:
    """The least of 1, 2, 5, 10 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(max(span, SMALLEST)))
    return next(times * power for times in (1, 2, 5, 10, 20) if times * power >= span)


@dataclass(frozen=True, slots=True)
class Curve:
    points: tuple[tuple[float, float], ...]  # percent from the left, percent from above
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    @property
    def line(self) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)

    @property
    def area(self) -> str:
        """What is below the line."""
        return f"{self.points[0][0]:g},100 {self.line} {self.points[-1][0]:g},100"


def curve(
    points: Sequence[tuple[float, float]], x: Scale, y: Scale, write_x: Callable[[float], str],
    write_y: Callable[[float], str],
) -> Curve:  # fmt: skip
    """Of at least one point."""
    places = tuple((x.at(at), round(100 - y.at(value), 3)) for at, value in points)
    return Curve(places, x.ticks(write_x), y.ticks(write_y))


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a bar, from `start` on, in percent of the plot's width."""

    kind: str
    start: float
    width: float


def stacked(parts: Iterable[tuple[str, float]], whole: float) -> tuple[Piece, ...]:
    """Parts one after the other, by kind; negative ones are nothing."""
    pieces, start = [], 0.0
    for kind, size in parts:
        width = 100 * (max(size, 0.0) / whole) if 0 < whole < math.inf else 0.0
        pieces.append(Piece(kind, round(start, 3), round(width, 3)))
        start += width
    return tuple(pieces)
