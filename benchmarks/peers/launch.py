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

from edge.profiling.background_load import BackgroundLoad


class Failed(Exception):
    """The message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Finished:
    last_line: str
    others: float  # share of all cores that other processes took meanwhile, from 0 to 1
    seconds: float


def launch(command: Sequence[str], limit: float, log: Path) -> Finished:
    """Raises Failed when it exits with an error or takes longer than `limit` seconds. What it says goes to `log`."""
    started = time.monotonic()
    with (
        BackgroundLoad() as busy,
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
    return Finished(last_line, busy.others or 0.0, time.monotonic() - started)


def _kill(process: subprocess.Popen[str]) -> None:
    """With all it has started: it leads a group of its own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(log: Path, code: int) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    killed = f"killed by {signal.Signals(-code).name}, " if code < 0 else ""
    return f"{killed}{lines[-1] if lines else f'exit code {code}'}"
