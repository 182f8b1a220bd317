"""A model on this device, profiled: from memory and ceilings before it is loaded to the age of its answers.

`Profile.report` is plain values, for a table, a page and a comparison; its layout is what `SCHEMA` counts.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge.engine.engine import Engine
from edge.machine import machine
from edge.planning.costs import Costs
from edge.planning.memory import Memory, predict_memory
from edge.profiling.ceilings import Ceilings, measure_ceilings
from edge.profiling.energy import Energy, NoPower, power_meter
from edge.profiling.life import AGE, Workload, live_through
from edge.profiling.live import watch_live
from edge.profiling.memory import Timeline, taken
from edge.profiling.spans import Spans, Stage
from edge.profiling.timed import TOKEN

SCHEMA = 1

Progress = Callable[[str], object]
"""What begins now."""


@dataclass
class Profile:
    """What was measured; `spans` and `timeline` are for a trace."""

    report: dict[str, Any] = field(default_factory=dict)
    spans: Spans = field(default_factory=Spans)
    timeline: list[tuple[float, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is profiled, and how it comes into memory."""

    name: str
    device: torch.device
    costs: Costs
    load: Callable[[], Engine]


def profile(subject: Subject, workload: Workload, live_seconds: float, progress: Progress) -> Profile:
    """Raises what loading raises. An out-of-memory on the way is part of the report."""
    found, device = Profile(), subject.device
    progress("measuring what the device can give")
    ceilings = measure_ceilings(device)
    before = taken(device)
    with Timeline(device) as timeline:
        progress(f"loading {subject.name}")
        started = time.perf_counter()
        engine = subject.load()
        loaded, load_seconds = taken(device), time.perf_counter() - started
        found.report = _head(subject, engine, workload, ceilings, load_seconds)
        found.spans = Spans(_finish(device))
        with _out_of_memory_reported(found.report), _energy(device, found):
            progress("the life of frames, step by step")
            with tempfile.TemporaryDirectory() as folder:
                size = live_through(engine, subject.costs, found.spans, workload, Path(folder))
            found.report |= _measured(found.spans, ceilings, engine.variant, size)
            progress("a live camera")
            found.report["live"] = watch_live(engine, subject.costs, workload, live_seconds)
    found.timeline = timeline.points
    kv_size = found.report.get("size", (448, 448))
    predicted = predict_memory(subject.costs, kv_size, workload.window, before)
    found.report["memory"] = _memory(predicted, before, loaded, timeline)
    return found


def _head(subject: Subject, engine: Engine, workload: Workload, ceilings: Ceilings, seconds: float) -> dict[str, Any]:
    runner = engine.runner
    return {
        "kind": "profile",
        "schema": SCHEMA,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": machine(),
        "ceilings": ceilings.to_dict(),
        "model": {
            "name": subject.name,
            "variant": engine.variant,
            "device": str(subject.device),
            "dtype": str(getattr(runner, "dtype", "")).removeprefix("torch."),
            "load_seconds": seconds,
        },
        "workload": workload.to_dict(),
    }


def _measured(spans: Spans, ceilings: Ceilings, variant: str, size: tuple[int, int]) -> dict[str, Any]:
    rate, bandwidth = _rate(ceilings, variant), ceilings.read
    stages = [_stage(Stage.of(name, spans.named(name)), spans, rate, bandwidth) for name in spans.names()]
    return {"size": list(size), "stages": stages, "decode": _decode(spans)}


def _stage(stage: Stage, spans: Spans, rate: float, bandwidth: float) -> dict[str, Any]:
    """Times in seconds; with what it achieved, where its cost is known."""
    row: dict[str, Any] = {name: value for name, value in asdict(stage).items() if name not in ("operations", "nbytes")}
    if stage.operations:
        floor = sum(span.cost.floor(rate, bandwidth) for span in spans.named(stage.name) if span.cost)
        row |= {
            "operations_per_second": stage.operations / stage.total,
            "bytes_per_second": stage.nbytes / stage.total,
            "floor": floor / stage.n,
            "bound_by": "arithmetic" if stage.operations / rate > stage.nbytes / bandwidth else "memory",
            "share_of_ceiling": floor / stage.total,
        }
    return row


def _rate(ceilings: Ceilings, variant: str) -> float:
    """Operations per second of the fastest products that such weights could be multiplied with."""
    rates = [ceilings.bf16, ceilings.fp32, ceilings.int8 if variant.startswith("int") else None]
    if variant == "float32":
        rates = [ceilings.fp32]
    return max(rate for rate in rates if rate is not None)


def _decode(spans: Spans) -> list[dict[str, float]]:
    """Tokens per second against the length of the context, one point per answer."""
    answers: list[list[Any]] = []
    for span in spans.named(TOKEN):
        if answers and answers[-1][-1].context == (span.context or 0) - 1:
            answers[-1].append(span)
        else:
            answers.append([span])
    return [
        {"context": answer[len(answer) // 2].context, "tokens_per_second": 1 / Stage.of(TOKEN, answer).p50}
        for answer in answers
    ]


def _memory(predicted: Memory, before: int, loaded: int, timeline: Timeline) -> dict[str, Any]:
    """Bytes. Keys, values and activations are measured together: they come and go."""
    return {
        "predicted": predicted.to_dict(),
        "measured": {
            "overhead": before,
            "weights": loaded - before,
            "kv_and_activations": timeline.peak - loaded,
            "total": timeline.peak,
        },
        "timeline": _thinned([[round(at - timeline.points[0][0], 3), nbytes] for at, nbytes in timeline.points]),
    }


def _thinned(points: list[list[float]], most: int = 500) -> list[list[float]]:
    return points[:: max(1, len(points) // most)]


def _finish(device: torch.device) -> Callable[[], object]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


@contextlib.contextmanager
def _out_of_memory_reported(report: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        report["failed"] = f"out of memory: {str(error).partition(chr(10))[0]}"


@contextlib.contextmanager
def _energy(device: torch.device, found: Profile) -> Iterator[None]:
    """Joules of each answer: question, tokens, and what belongs to them."""
    try:
        watts = power_meter(device)
    except NoPower as error:
        found.report["energy"] = {"not_measured": str(error)}
        yield
        return
    with Energy(watts) as energy:
        yield
    joules = [energy.joules(span.start, span.end) for span in found.spans.named(AGE)]
    if joules:
        found.report["energy"] = {"joules_per_answer": sorted(joules)[len(joules) // 2], "answers": len(joules)}
