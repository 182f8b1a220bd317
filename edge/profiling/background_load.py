"""Who else used the machine: a figure from a busy one must say so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

BUSY_ABOVE = 0.10  # share of the CPU taken by others above which a figure is not to be trusted
STAT = Path("/proc/stat")


def read_stat() -> str | None:
    return STAT.read_text() if STAT.exists() else None


def own_seconds() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    return sum(os.times()[:4])


class BackgroundLoad:
    """The share of all cores that others took while it ran, from 0 to 1; None where the system does not tell.

    What the host of a virtual machine gave to somebody else counts as taken.
    """

    def __init__(self, stat: Callable[[], str | None] = read_stat, own: Callable[[], float] = own_seconds) -> None:
        self.others: float | None = None
        self._stat, self._own = stat, own

    def __enter__(self) -> BackgroundLoad:
        self._before = self._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before, after = self._before, self._now()
        if before is None or after is None or after[0] <= before[0]:
            return
        passed, used, own = (b - a for a, b in zip(before, after, strict=True))
        self.others = min(1.0, max(0.0, (used - own) / passed))

    def __str__(self) -> str:
        if self.others is None:
            return "others unknown"
        return f"others {self.others:.0%}" + (" BUSY" if self.is_busy else "")

    @property
    def is_busy(self) -> bool:
        return self.others is not None and self.others > BUSY_ABOVE

    def to_dict(self) -> dict[str, Any]:
        return {"others": None if self.others is None else round(self.others, 4), "busy": self.is_busy}

    def _now(self) -> tuple[float, float, float] | None:
        """Seconds of all cores, of those the ones in use, and of those our own."""
        stat = self._stat()
        if stat is None:
            return None
        ticks = [int(value) for value in stat.partition("\n")[0].split()[1:9]]  # the rest is contained in user and nice
        total, idle = sum(ticks), ticks[3] + ticks[4]  # waiting for a disk is idle
        second = os.sysconf("SC_CLK_TCK")
        return total / second, (total - idle) / second, self._own()
