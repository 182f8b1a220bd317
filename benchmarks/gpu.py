"""Everything that a GPU should be asked, in one go: `make gpu`, or `python -m benchmarks.gpu [--only parity,peers]`.

Kernels and parity are proved on the device before anything is timed there. Each step is a process of its own with a
time limit of its own; one that fails or takes too long is reported, and the rest go on. What a step says is kept in
runs/gpu/STEP.log, what it measures in benchmarks/results/ under the device's name. The last line of output is the
outcome of all steps as JSON; the exit code is 1 when one failed.

`--short` takes the smallest settings and pocket's shape instead of the 2B one, which tries every step within minutes
on a CPU, too (`make gpu DEVICE=cpu SHORT=1`); its times say nothing of the true shape. `--check` only tells whether
this Python has what the steps need.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "runs" / "gpu"
NEEDED = ("torch", "numpy", "safetensors", "tokenizers", "transformers", "pytest", "hypothesis", "av", "httpx")
MINUTES = 9.0
LEAST = 5.0  # seconds; with less no step can begin
FAREWELL = 5.0  # seconds that an interrupted step has to end what it started
SHOWN = 12  # last lines of a failed step's log

console = Console(stderr=True, highlight=False, width=140)


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    command: str  # after `python -m`
    seconds: float  # limit when all take nine minutes; more minutes give each step more
    needs: tuple[str, ...] = ()  # modules without which it is skipped


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str
    outcome: str  # done, failed, stopped, skipped
    seconds: float
    detail: str  # in words, why it is not done

    @property
    def is_bad(self) -> bool:
        return self.outcome in ("failed", "stopped")


def steps(device: str, is_short: bool) -> list[Step]:
    """What is done, in this order: what must be right comes before what should be fast."""
    chosen = "gpu" if device == "cuda" else "'not gpu and not slow'"
    places = "tests/edge/kernels" if is_short else PLACES
    pytest = f"pytest --quiet -m {chosen}"
    model, scenes = ("random:pocket", 8) if is_short else ("random:2b", 40)
    latency = f"benchmarks.latency --short --model {model} --device {device} --variant"
    peers = "benchmarks.peers --here --only transformers,ours-bf16,ours --rounds 1 --repetitions 2 --json"
    smallest = "--model random:pocket --variant float32 --windows 4 --sizes 112 --slides 4"
    return [
        Step("kernels", f"{pytest} {places} --ignore {PARITY}", 150, ("pytest", "hypothesis")),
        Step("parity", f"{pytest} {PARITY}", 90, ("pytest", "transformers")),
        *[Step(f"latency-{name}", f"{latency} {name}", 120, ("av",)) for name in ("int4", "bfloat16", "int8")],
        Step("peers", f"{peers} pocket" if is_short else peers, 210, ("transformers",)),
        Step("streaming", f"benchmarks.streaming --device {device} {smallest if is_short else '--short'}", 120,
             ("av", "transformers")),
        Step("pocket", f"benchmarks.pocket.evaluate --scenes {scenes} --device {device} --name short", 120, ("av",)),
        Step("tables", "benchmarks.tables", 30),
    ]  # fmt: skip


PARITY = "tests/edge/models/test_parity.py"
PLACES = "tests/edge/kernels tests/edge/runners tests/edge/models tests/edge/test_variants.py"


def main() -> None:
    arguments = _arguments()
    if arguments.check:
        problem = missing(arguments.device)
        sys.exit(f"{sys.executable} cannot do it: {problem}." if problem else 0)
    if problem := unusable(arguments.device):
        sys.exit(f"nothing was measured: {problem}. Choose --device cpu or cuda.")
    plan = picked(steps(arguments.device, arguments.short), arguments.only)
    if arguments.short:
        console.print("short form: pocket's shape and few scenes; its times say nothing of the 2B shape")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and with it the step that runs
    started = time.monotonic()
    outcomes = run_all(plan, arguments.minutes)
    console.print(table(outcomes))
    print(json.dumps(report(arguments.device, arguments.short, outcomes, time.monotonic() - started)), flush=True)
    sys.exit(any(one.is_bad for one in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--short", action="store_true", help="every step with the least that tries it")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for all steps together  [default: 9]")
    parser.add_argument("--only", help="names of steps, with commas")
    parser.add_argument("--check", action="store_true", help="only say whether this Python has all that is needed")
    return parser.parse_args()


def missing(device: str) -> str:
    """Why this Python cannot take every step, in words; empty when it can."""
    absent = [name for name in NEEDED if not is_installed(name)]
    return f"{', '.join(absent)} not installed" if absent else unusable(device)


def unusable(device: str) -> str:
    """Why PyTorch cannot use the device, in words; empty when it can."""
    if not is_installed("torch"):
        return "torch is not installed"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        build = f"PyTorch {torch.__version__}" + ("" if torch.version.cuda else ", which is built without CUDA,")
        return f"{build} finds no CUDA device"
    return ""


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def picked(all_steps: Sequence[Step], only: str | None) -> list[Step]:
    """Those named, in their own order. Ends the program for a name that is none."""
    if only is None:
        return list(all_steps)
    names = only.split(",")
    if unknown := sorted(set(names) - {step.name for step in all_steps}):
        sys.exit(f"no step is named {', '.join(unknown)}. Choose from {', '.join(step.name for step in all_steps)}.")
    return [step for step in all_steps if step.name in names]


def run_all(plan: Sequence[Step], minutes: float, logs: Path = LOGS) -> list[Outcome]:
    """One after the other, until the time is over."""
    logs.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * minutes
    outcomes = []
    for number, step in enumerate(plan, start=1):
        left = deadline - time.monotonic()
        limit = min(left, step.seconds * minutes / MINUTES)
        console.print(f"{number}/{len(plan)} {step.name}: {limit:.0f} s at most, {left:.0f} s left for all")
        outcomes.append(run(step, limit, logs / f"{step.name}.log"))
        console.print(
            f"    {outcomes[-1].outcome} after {outcomes[-1].seconds:.0f} s. {outcomes[-1].detail}", markup=False
        )
    return outcomes


def run(step: Step, limit: float, log: Path) -> Outcome:
    """A step that goes wrong is an outcome like any other."""
    if absent := [name for name in step.needs if not is_installed(name)]:
        return Outcome(step.name, "skipped", 0.0, f"{', '.join(absent)} is not installed")
    if limit < LEAST:
        return Outcome(step.name, "stopped", 0.0, "not begun: no time left")
    started = time.monotonic()
    code = _process([sys.executable, "-m", *shlex.split(step.command)], limit, log)
    seconds = time.monotonic() - started
    if code == 0:
        return Outcome(step.name, "done", seconds, "")
    console.print(*_last_lines(log), sep="\n", markup=False)
    if code is None:
        return Outcome(step.name, "stopped", seconds, f"took longer than {limit:.0f} s; see {log}")
    return Outcome(step.name, "failed", seconds, f"exit code {code}; see {log}")


def _process(command: Sequence[str], limit: float, log: Path) -> int | None:
    """Its exit code, or None when it was ended at the limit. What it says goes to `log`."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        ) as process,
    ):
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """First as Ctrl-C would: a step may have started processes in groups of their own, and ends them then."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(FAREWELL)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _last_lines(log: Path) -> list[str]:
    """Without a result in JSON, which is one long line."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line and not line.startswith("{")]
    return lines[-SHOWN:]


def table(outcomes: Sequence[Outcome]) -> Table:
    shown = Table("step", "outcome", title="steps", title_justify="left")
    shown.add_column("seconds", justify="right")
    shown.add_column("")
    for one in outcomes:
        shown.add_row(one.name, one.outcome, f"{one.seconds:.1f}", one.detail)
    return shown


def report(device: str, is_short: bool, outcomes: Sequence[Outcome], seconds: float) -> dict[str, object]:
    from edge.machine import machine

    return {
        "benchmark": "gpu", "device": device, "short": is_short, "seconds": round(seconds, 1),
        "steps": [asdict(one) for one in outcomes], "machine": machine(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
