"""Numbers for people: three digits and their unit."""

from __future__ import annotations

import re
from collections.abc import Callable

from edge.reports.reading import finite

NOTHING = "–"  # noqa: RUF001 - what a table shows where there is no number
TIMES = " \u00d7 "  # between width and height
SPACE = "\u00a0"  # a number and its unit stay on one line
PREFIXES = ("", "k", "M", "G", "T", "P")


def seconds(value: object) -> str:
    found = finite(value)
    if found is None:
        return NOTHING
    if abs(found) >= 1 or found == 0:
        return f"{digits(found)}{SPACE}s"
    if abs(found) >= 1e-3:
        return f"{digits(1e3 * found)}{SPACE}ms"
    return f"{digits(1e6 * found)}{SPACE}µs"


def nbytes(value: object) -> str:
    return prefixed(value, "B")


def prefixed(value: object, unit: str) -> str:
    """In thousands: kB, MB, GB; GB/s, TFLOP/s."""
    found = finite(value)
    if found is None:
        return NOTHING
    step = 0
    while abs(found) >= 999.5 and step < len(PREFIXES) - 1:
        found, step = found / 1000, step + 1
    return f"{digits(found)}{SPACE}{PREFIXES[step]}{unit}"


def percent(share: object) -> str:
    found = finite(share)
    if found is None:
        return NOTHING
    if 0 < found < 0.0005:
        return f"< 0.1{SPACE}%"
    return f"{100 * found:.0f}{SPACE}%" if abs(found) >= 0.0995 or found == 0 else f"{100 * found:.1f}{SPACE}%"


def plain(value: object, unit: str = "") -> str:
    found = finite(value)
    if found is None:
        return NOTHING
    return f"{digits(found)}{SPACE}{unit}" if unit else digits(found)


def whole(value: object) -> str:
    found = finite(value)
    if found is None:
        return NOTHING
    return f"{found:,.0f}" if abs(found) < 1e12 else f"{found:.3g}"


def rounded(write: Callable[[object], str]) -> Callable[[object], str]:
    """For the ticks of a scale: 1 ms instead of 1.00 ms."""
    return lambda value: re.sub(r"\.0+(?!\d)", "", write(value))


def digits(value: float) -> str:
    """Three of them, without an exponent as long as that is readable."""
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-3:
        return f"{value:.3g}"
    places = 0 if size >= 99.95 or size == 0 else 1 if size >= 9.995 else 2
    return f"{value:,.{places}f}"
