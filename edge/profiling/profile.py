"""A model on this device, profiled: from memory and ceilings before it is loaded to the age of its answers.

`Profile.report` is plain values, for a table, a page and a comparison; its layout is what `SCHEMA` counts.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

from edge.engine.engine import Engine
from edge.errors import is_out_of_memory
from edge.machine import machine
from edge.models.costs import Costs
from edge.planning.memory_budget import KEPT, MemoryBudget, predict_memory
from edge.profiling.busy import Busy
from edge.profiling.ceilings import Ceilings, measure_ceilings, synchronize
from edge.profiling.energy import Energy, NoPower, power_meter
from edge.profiling.life import AGE, ProfileSettings, live_through
from edge.profiling.live import watch_live
from edge.profiling.memory_usage import Timeline, beside, taken, total
from edge.profiling.spans import Spans, Stage
from edge.profiling.timed import APPEND, TOKEN, VISION
from edge.runners import Facts, Preview

SCHEMA = 2
OTHER_GROUPS = 4  # seen at another size: a median of fewer is at the mercy of a moment
FEW_TOKENS = 80  # a kernel may multiply 64 rows with packed weights; sides are rounded

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
    variant: str  # how its weights are stored, as far as is known before
    is_quantized: bool
    asked: str | None  # the variant of random weights, in the user's words
    device: torch.device
    costs: Costs
    load: Callable[[], Engine]

    @classmethod
    def of(cls, name: str, asked: str | None, preview: Preview, load: Callable[[], Engine]) -> Self:
        device = torch.device(preview.device)
        return cls(name, preview.variant, preview.is_quantized, asked, device, preview.costs, load)


def profile(subject: Subject, workload: ProfileSettings, live_seconds: float, progress: Progress) -> Profile:
    """Raises what loading raises. An out-of-memory on the way is part of the report, and the rest goes on."""
    device, begun = subject.device, time.perf_counter()
    progress("measuring what the device can give")
    ceilings = measure_ceilings(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of the ceilings' matrices
    before = taken(device)
    found = Profile(spans=Spans(partial(synchronize, device)))
    with Timeline(device) as timeline, Busy() as busy:
        progress(f"loading {subject.name}")
        started = time.perf_counter()
        engine = subject.load()
        found.report = _head(subject, engine, workload, ceilings, time.perf_counter() - started)
        with _out_of_memory_reported(found.report), _energy(device, found):
            progress("the life of frames, step by step")
            found.report |= _steps(subject, engine, workload, found.spans, ceilings)
            progress("the same with frames of another size")
            pixels = _other_pixels(math.prod(found.report["size"]), engine)
            other = replace(workload, max_pixels=pixels, window=OTHER_GROUPS, answer_tokens=2)
            found.report["other_size"] = _other_size(subject, engine, other, ceilings)
        with _out_of_memory_reported(found.report):
            progress("a live camera")
            found.report["live"] = watch_live(engine, subject.costs, workload, live_seconds)
    found.timeline = timeline.points
    if busy.is_busy:
        found.report["busy"] = f"others took {busy.others:.0%} of the CPU meanwhile: times are too long"
    size = found.report.get("size", (448, 448))
    predicted = predict_memory(subject.costs, size, workload.window, before, kept=KEPT[device.type])
    found.report["memory"] = _memory(predicted, before, engine.runner.facts.weight_bytes, timeline)
    found.report["seconds"] = time.perf_counter() - begun
    return found


def _head(
    subject: Subject, engine: Engine, workload: ProfileSettings, ceilings: Ceilings, seconds: float
) -> dict[str, Any]:
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
            "dtype": engine.runner.facts.dtype,
            "asked": subject.asked,
            "load_seconds": seconds,
        },
        "workload": workload.to_dict(),
    }


def _steps(
    subject: Subject, engine: Engine, workload: ProfileSettings, spans: Spans, ceilings: Ceilings
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        size = live_through(engine, subject.costs, spans, workload, Path(folder))
    return {"size": list(size), "stages": _stages(spans, ceilings, engine.runner.facts), "decode": _decode(spans)}


def _other_size(subject: Subject, engine: Engine, workload: ProfileSettings, ceilings: Ceilings) -> dict[str, Any]:
    """What depends on the size of frames, at another one: two sizes tell what each pixel adds."""
    spans = Spans(partial(synchronize, subject.device))
    with tempfile.TemporaryDirectory() as folder:
        size = live_through(engine, subject.costs, spans, workload, Path(folder))
    stages = _stages(spans, ceilings, engine.runner.facts)
    return {"size": list(size), "stages": [stage for stage in stages if stage["name"] in (VISION, APPEND)]}


def _other_pixels(pixels: int, engine: Engine) -> int:
    """Half, or twice as many where half would be so few tokens that quantized weights are multiplied as they are
    packed: that tells nothing of more."""
    facts = engine.runner.facts
    tokens = pixels // 2 // facts.cell**2
    return 2 * pixels if facts.is_quantized and tokens <= FEW_TOKENS else max(facts.cell**2, pixels // 2)


def _stages(spans: Spans, ceilings: Ceilings, facts: Facts) -> list[dict[str, Any]]:
    rate, bandwidth = _rate(ceilings, facts), ceilings.read
    return [_stage(Stage.of(name, spans.named(name)), spans, rate, bandwidth) for name in spans.names()]


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


def _rate(ceilings: Ceilings, facts: Facts) -> float:
    """Operations per second of the fastest products that such weights could be multiplied with."""
    rates = [ceilings.bf16, ceilings.fp32, ceilings.int8 if facts.is_quantized else None]
    if facts.variant == "float32":
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


def _memory(predicted: MemoryBudget, before: int, weights: int, timeline: Timeline) -> dict[str, Any]:
    """Bytes. Keys, values and activations are measured together with what allocators keep: they come and go."""
    return {
        "predicted": predicted.to_dict(),
        "measured": {
            "overhead": before,
            "weights": weights,
            "kv_and_activations": timeline.peak - before - weights,
            "total": timeline.peak,
            **beside(timeline.device),
        },
        "available": total(timeline.device),
        "timeline": _thinned([[round(at - timeline.points[0][0], 3), nbytes] for at, nbytes in timeline.points]),
    }


def _thinned(points: list[list[float]], most: int = 500) -> list[list[float]]:
    """As many at most, each the highest of its neighbours: a peak must not go."""
    step = max(1, -(-len(points) // most))
    return [max(points[start : start + step], key=lambda point: point[1]) for start in range(0, len(points), step)]


@contextlib.contextmanager
def _out_of_memory_reported(report: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
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
    found.report["energy"] = {"not_measured": "no answer came to its end"}
    with Energy(watts) as energy:
        yield
    joules = [energy.joules(span.start, span.end) for span in found.spans.named(AGE)]
    if joules:
        found.report["energy"] = {"joules_per_answer": sorted(joules)[len(joules) // 2], "answers": len(joules)}
