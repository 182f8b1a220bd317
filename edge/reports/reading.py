"""Reading a report that may lack parts: a profile that failed on the way, or odd numbers in it.

Knows where things lie in a report; what is not there, or is no finite number, is None.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]


def number(report: object, *path: str) -> float | None:
    return finite(value(report, *path))


def value(report: object, *path: str) -> object:
    for key in path:
        if not isinstance(report, Mapping):
            return None
        report = report.get(key)
    return report


def finite(found: object) -> float | None:
    """JSON knows no NaN, but Python's reads and writes one."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        as_float = float(found)
    except OverflowError:
        return None
    return as_float if abs(as_float) < float("inf") else None


def part(report: object, *path: str) -> Mapping[str, Any]:
    """The mapping at a path, empty where there is none."""
    found = value(report, *path)
    return found if isinstance(found, Mapping) else {}


def stages(report: Report) -> dict[str, Mapping[str, Any]]:
    """By name, in the report's order; those that have a time."""
    found = value(report, "stages")
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return {str(row.get("name")): row for row in rows if number(row, "p50") is not None}


def points(found: object, *keys: Any) -> list[tuple[float, float]]:
    """The pairs of finite numbers at two keys of each row."""
    rows = [row for row in found if isinstance(row, Mapping | list)] if isinstance(found, list) else []
    pairs = [tuple(finite(_get(row, key)) for key in keys) for row in rows]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _get(row: Mapping[str, Any] | list[Any], key: Any) -> object:
    try:
        return row[key]
    except (KeyError, IndexError):
        return None


def decoding(report: Report) -> list[tuple[float, float]]:
    """(tokens in the context, tokens per second), by context."""
    return sorted(points(value(report, "decode"), "context", "tokens_per_second"))


def tokens_per_second(report: Report) -> float | None:
    """The median over contexts."""
    speeds = [speed for _, speed in decoding(report)]
    return statistics.median(speeds) if speeds else None
