"""What control groups let this process have: CPU time and memory. Where there are none (not Linux), nothing limits.

Version 2 has one tree of groups, version 1 one for each controller; both may be there at once. A group gets no more
than any group above it, so every level up to the root counts. In a container the own group may be shown as the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # lines of "number:controllers:path"; version 2 names no controllers


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """Bytes."""

    limit: int
    used: int  # less what the kernel would drop at once: pages of files not used lately

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)


def cpu_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """CPUs' worth of time, such as 1.5; None without a limit."""
    quotas = [_cpu_quota(group) for group in _groups("cpu", root, membership)]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> list[MemoryLimit]:
    """Of each level that has one."""
    limits = [_memory_limit(group) for group in _groups("memory", root, membership)]
    return [limit for limit in limits if limit is not None]


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's groups, each before the ones above it."""
    for line in (_read(membership) or "").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            trees = [root, root / "unified"]
        elif controller in controllers.split(","):
            trees = [root / controllers, root / controller]
        else:
            continue
        for tree in dict.fromkeys(trees):
            yield from _upwards(tree, path)


def _upwards(tree: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield tree.joinpath(*parts[:depth])


def _cpu_quota(group: Path) -> float | None:
    if (both := _read(group / "cpu.max")) is not None:
        quota, _, period = both.strip().partition(" ")
    else:
        quota, period = (_read(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    try:
        cpus = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return cpus if cpus > 0 else None  # -1: none


def _memory_limit(group: Path) -> MemoryLimit | None:
    for limit, usage, reclaimable in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            nbytes, used = int(_read(group / limit) or ""), int(_read(group / usage) or "")
        except ValueError:
            continue
        return MemoryLimit(nbytes, max(0, used - _statistic(group / "memory.stat", reclaimable)))
    return None


def _statistic(path: Path, name: str) -> int:
    for line in (_read(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
