"""How many threads compute, and how they wait for each other: chosen once, before PyTorch is imported.

An OpenMP thread that waits spins by default, and takes its core from the decoder, from other cameras and from other
programs; here threads sleep instead. There are as many as the process may keep busy: the physical cores it may run on,
and no more than its control group has time for. A variable that the user has set is never changed, and where a program
has imported PyTorch already, nothing is.

Knows OpenMP's variables and the kernel's files. Importing this must not import PyTorch.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from edge import cgroups

COUNT, WAIT_POLICY = "OMP_NUM_THREADS", "OMP_WAIT_POLICY"
# The standard's variable, and what the two usual runtimes (LLVM's and Intel's, GNU's) would otherwise spin for. GNU's
# threads look again a few thousand times before they sleep: between the small products of a tiny model the way to sleep
# and back takes longer than the wait (benchmarks/LOG.md).
SLEEPING = {WAIT_POLICY: "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "2000"}
CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class ThreadCount:
    count: int
    reason: str  # what limits it, for people


_reasons: list[str] = []  # the newest last: why this process has as many threads as it has


def configure(environ: MutableMapping[str, str] = os.environ) -> None:
    """Sets OpenMP's variables as long as PyTorch has not read them. Later calls change nothing."""
    if "torch" in sys.modules or _reasons:
        return
    if not any(name in environ for name in SLEEPING):
        environ.update(SLEEPING)
    if COUNT in environ:
        _reasons.append(f"the variable {COUNT}")
        return
    chosen = choose(usable_cpus(), cgroups.cpu_quota())
    environ[COUNT] = str(chosen.count)
    _reasons.append(chosen.reason)


def use(count: int, environ: MutableMapping[str, str] = os.environ) -> None:
    """As many threads as the user has asked for on the command line, also more than there are cores."""
    _reasons.append("--threads")
    environ.update({name: str(count) for name in (COUNT, "MKL_NUM_THREADS") if name == COUNT or name in environ})
    import torch  # only now: it reads the variables above, and may make less of them

    torch.set_num_threads(count)


def choose(cpus: Iterable[int], quota: float | None, topology: Path = CPUS) -> ThreadCount:
    """One thread for each physical core, and for each CPU's worth of time that is begun.

    Two hardware threads of a core share its arithmetic, so a second thread there would gain nothing. A quota of
    1.5 CPUs makes two threads: they use all of it, and rest for a quarter of the time.
    """
    cores = len({_core(cpu, topology) for cpu in cpus})
    if quota is not None and quota < cores:
        return ThreadCount(max(1, math.ceil(quota)), f"a control group's quota of {quota:g} CPUs")
    return ThreadCount(cores, "cores that this process may run on")


def usable_cpus() -> set[int]:
    """As the scheduler numbers them: taskset and cpusets leave some out."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def reason() -> str:
    """Why there are as many threads as there are, for `edge doctor`."""
    return _reasons[-1] if _reasons else "PyTorch, which was imported before this package could choose"


def wait_policy(environ: Mapping[str, str] = os.environ) -> str:
    return environ.get(WAIT_POLICY, "not set, so waiting threads spin")


def _core(cpu: int, topology: Path) -> str:
    """A name that CPUs of one physical core share."""
    try:
        return (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
