"""What an adapter is, and how one measures: `python -m benchmarks.peers.NAME MODEL_FOLDER` in its environment.

The checkpoint is converted once, in a process of its own, so that the memory this takes is not the engine's. Then the
model is loaded, answers once unmeasured, and once for each repetition. The last line of output is a `Run` as JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.peers.workload import Picture, Run, Times, picture

CACHE = Path("runs/peers")
REPETITIONS = 2  # in each process
WARM_UP = 1_000_000  # a picture that is not measured


class Unavailable(Exception):
    """This engine cannot be measured here; the message says why."""


class Adapter:
    """One engine, loaded. What it must say of itself before that stands in its class."""

    engine: str
    variant: str  # how the weights are stored
    grid: str  # the same in our spelling, so that its loss can be looked up
    note: str = ""  # what a reader of the figures must know
    packages: tuple[str, ...]  # whose versions matter
    environment: str | None  # its folder under `CACHE`, and its requirements-NAME.txt; None: the one that runs this

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        """Write what the engine reads to the new folder `out`; as it is here, the checkpoint. Raises Unavailable."""
        out.symlink_to(model, target_is_directory=True)

    def __init__(self, folder: Path) -> None:
        """Load what `convert` wrote. Raises Unavailable."""
        raise NotImplementedError

    def answer(self, pixels: Picture) -> Times:
        raise NotImplementedError

    def peak_gpu_mib(self) -> float | None:
        return None


def main(kind: type[Adapter]) -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {_module(kind)}", description=kind.__doc__)
    parser.add_argument("model", type=Path, help="a Qwen2-VL checkpoint")
    parser.add_argument("--convert", action="store_true", help="convert it, and measure nothing")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    arguments = parser.parse_args()
    try:
        if arguments.convert:
            converted(kind, arguments.model)
        else:
            subprocess.run([sys.executable, "-m", _module(kind), str(arguments.model), "--convert"], check=True)
            numbers = range(arguments.first, arguments.first + arguments.repetitions)
            print(measure(kind, converted(kind, arguments.model), numbers).to_json(), flush=True)
    except Unavailable as reason:
        sys.exit(str(reason))
    except subprocess.CalledProcessError as failed:
        sys.exit(failed.returncode)  # it has said why


def measure(kind: type[Adapter], folder: Path, numbers: range) -> Run:
    adapter = kind(folder)
    adapter.answer(picture(WARM_UP))
    keep_in_memory()
    times = tuple(adapter.answer(picture(number)) for number in numbers)
    return Run(
        engine=adapter.engine, versions={name: metadata.version(name) for name in adapter.packages},
        variant=adapter.variant, note=adapter.note, times=times, peak_rss_mib=peak_rss_mib(),
        disk_mb=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
        peak_gpu_mib=adapter.peak_gpu_mib(),
    )  # fmt: skip


def converted(kind: type[Adapter], model: Path) -> Path:
    """The folder the adapter reads, converted if it is not there."""
    folder = CACHE / "converted" / f"{model.resolve().name}-{_digest(model)}" / _module(kind).rpartition(".")[2]
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        kind.convert(model.resolve(), unfinished)
        unfinished.rename(folder)
    return folder


def keep_in_memory() -> None:
    """A mapped page that the system dropped is read from disk again, which says nothing about an engine.

    Without the right to do so nothing happens.
    """
    current, on_fault = 1, 4  # of mlockall: what is mapped now, once it is touched
    if sys.platform == "linux":
        ctypes.CDLL(None).mlockall(current | on_fault)


def peak_rss_mib() -> float:
    """Of this process. Not from getrusage, where a parent's memory counts for its child."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise Unavailable("the peak of memory is read from /proc/self/status, which this system does not have")


def threads() -> int:
    return os.cpu_count() or 1


def _digest(model: Path) -> str:
    """Changes when the checkpoint does."""
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in model.iterdir())
    return hashlib.sha256(repr(files).encode()).hexdigest()[:8]


def _module(kind: type[Adapter]) -> str:
    """As it was started, when it was started."""
    specification = sys.modules[kind.__module__].__spec__
    return specification.name if specification else kind.__module__
