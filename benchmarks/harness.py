"""The one way in which benchmarks measure, so that their figures mean the same.

    fix_seed()
    ceilings = measure_ceilings(device)
    with BackgroundLoad() as busy:
        times = interleaved({"ours": ours, "theirs": theirs}, rounds=5, device=device)
    store("name", {"ratio": times.ratio("theirs", "ours").to_dict()}, ceilings=ceilings, busy=busy)

Machines are noisy and shared: what counts is the ratio to a peer in the same minute, pair by pair, beside what the
device could give at best just then. A figure from a busy machine says so. Knows no model and no prompt.
"""

from __future__ import annotations

import datetime
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge.machine import machine
from edge.profiling.background_load import BackgroundLoad
from edge.profiling.ceilings import Ceilings, timed

SEED = 0
WARM_UP = 1  # runs that do not count: caches fill, kernels are chosen
RESULTS = Path(__file__).parent / "results"

Work = Callable[[], object]


class EagerBaseline(ValueError):
    """A baseline that was made slow by its attention: nobody runs it so, and a ratio against it says nothing."""


def fix_seed(seed: int = SEED) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    p90: float
    p99: float
    relative: float | None  # the middle half's width over the median; None: a single measurement has no spread
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high, p90, p99 = (float(value) for value in np.percentile(values, [25, 50, 75, 90, 99]))
        is_known = len(values) > 1 and median != 0
        return cls(median, p90, p99, (high - low) / abs(median) if is_known else None, len(values))

    def to_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


def repeated(work: Work, repetitions: int, device: torch.device, warm_up: int = WARM_UP) -> Spread:
    """Seconds of one thing by itself."""
    return interleaved({"it": work}, repetitions, device, warm_up).spread("it")


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Seconds of several things that took turns: a b a b ..."""

    seconds: Mapping[str, Sequence[float]]

    def spread(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])

    def ratio(self, over: str, under: str) -> Spread:
        """Neighbours in time are divided, so that a machine that slows down slows both."""
        return Spread.of([a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True)])

    def by(self, rounds: int) -> Interleaved:
        """Sums of so many rounds at a time: for things whose cost repeats only after several."""
        return Interleaved({name: _sums(values, rounds) for name, values in self.seconds.items()})


def interleaved(works: Mapping[str, Work], rounds: int, device: torch.device, warm_up: int = WARM_UP) -> Interleaved:
    """Each thing once per round, in the order given; the device has finished before and after each."""
    for _ in range(warm_up):
        for work in works.values():
            work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(timed(work, device))
    return Interleaved(seconds)


def _sums(values: Sequence[float], size: int) -> list[float]:
    if len(values) % size:
        raise ValueError(f"{len(values)} rounds are no multiple of {size}: the last sum would lack some.")
    return [sum(values[start : start + size]) for start in range(0, len(values), size)]


# What is kept of a run


def attention_of(config: Any) -> dict[str, str]:
    """With what each part of a transformers model computes its attention. Raises EagerBaseline."""
    parts = {"model": config, "text": getattr(config, "text_config", None), "vision": config.vision_config}
    used = {name: str(part._attn_implementation) for name, part in parts.items() if part is not None}
    if "eager" in used.values():
        raise EagerBaseline(
            f"the baseline ran with eager attention ({used}), slower than what its users have, so the figure is not "
            'stored. Load it with attn_implementation="sdpa" and measure again.'
        )
    return used


def chip(device: torch.device) -> str:
    """For a result's name: "nvidia-h200", or "cpu", which the machine's card names."""
    found = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return "-".join(re.findall("[a-z0-9]+", found.lower()))


def store(
    name: str,
    figures: Mapping[str, Any],
    *,
    ceilings: Ceilings,
    busy: BackgroundLoad,
    baseline: Any = None,
    folder: Path = RESULTS,
    is_last: bool = True,
) -> dict[str, Any]:
    """Writes NAME.json and prints the same as the last line; a long run that stores what it has so far prints nothing
    before its end. `baseline` is the config of the transformers model that was measured beside ours, if one was.
    Raises EagerBaseline, and writes nothing then."""
    about = {} if baseline is None else {"baseline_attention": attention_of(baseline)}
    result: dict[str, Any] = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "seed": SEED,
        **about,
        **figures,
        "machine": machine(),
        "ceilings": ceilings.to_dict(),
        **busy.to_dict(),
    }
    if busy.is_busy and is_last:
        print(f"{name}: {busy}: seconds are too long, and ratios less certain; measure again.", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    if is_last:
        print(json.dumps(result, allow_nan=False), flush=True)
    return result
