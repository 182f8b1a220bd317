"""Run a command with a time limit, and note who else used the machine meanwhile.

A command that hangs is killed with all it has started. Knows nothing of engines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """The message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Finished:
    last_line: str
    others: float  # share of all cores that other processes took meanwhile, from 0 to 1
    seconds: float


def launch(command: Sequence[str], limit: float, log: Path) -> Finished:
    """Raises Failed when it exits with an error or takes longer than `limit` seconds. What it says goes to `log`."""
    before, started = Load.now(), time.monotonic()
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True) as process,
    ):
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"killed after {limit:.0f} s without an answer") from None
        finally:
            if process.returncode is None:
                _kill(process)
    if process.returncode:
        raise Failed(_reason(log, process.returncode))
    last_line = output.strip().rpartition("\n")[2]
    return Finished(last_line, Load.now().others_since(before), time.monotonic() - started)


def _kill(process: subprocess.Popen[str]) -> None:
    """With all it has started: it leads a group of its own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(log: Path, code: int) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    killed = f"killed by {signal.Signals(-code).name}, " if code < 0 else ""
    return f"{killed}{lines[-1] if lines else f'exit code {code}'}"


@dataclass(frozen=True, slots=True)
class Load:
    """CPU seconds since the machine and this process began."""

    total: float  # of all cores, idle or not
    busy: float
    own: float  # of this process and of the children it has waited for

    @classmethod
    def now(cls) -> Load:
        """On a system that does not tell, nobody else is ever busy."""
        own = sum(os.times()[:4])
        stat = Path("/proc/stat")
        if not stat.exists():
            return cls(0.0, 0.0, own)
        ticks = [int(value) for value in stat.read_text().split("\n", 1)[0].split()[1:9]]  # guests count as user
        total, idle = sum(ticks), ticks[3] + ticks[4]  # waiting for a disk is idle; stolen by the host is not
        second = os.sysconf("SC_CLK_TCK")
        return cls(total / second, (total - idle) / second, own)

    def others_since(self, before: Load) -> float:
        passed = self.total - before.total
        others = (self.busy - before.busy) - (self.own - before.own)
        return min(1.0, max(0.0, others / passed)) if passed else 0.0
