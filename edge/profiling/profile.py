"""A model on this device, profiled: from memory and ceilings before it is loaded to the age of its answers.

`Profile.report` is plain values, for a table, a page and a comparison; its layout is what `SCHEMA` counts.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

from edge.engine.engine import Engine
from edge.errors import is_out_of_memory
from edge.machine import machine
from edge.models.costs import Costs
from edge.planning.memory_budget import RETAINED, predict_memory
from edge.profiling.background_load import BackgroundLoad
from edge.profiling.ceilings import Ceilings, measure_ceilings, synchronize
from edge.profiling.energy import EnergyMeter, PowerUnavailable, power_meter
from edge.profiling.figures import decode_rows, memory_figures, stage_rows
from edge.profiling.live import watch_live
from edge.profiling.memory_usage import MemoryTimeline, used
from edge.profiling.pipeline_steps import AGE, ProfileSettings, measure_steps
from edge.profiling.spans import Spans
from edge.profiling.timed import APPEND, VISION
from edge.runners import Preview

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
class ProfileTarget:
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


def profile(target: ProfileTarget, settings: ProfileSettings, live_seconds: float, progress: Progress) -> Profile:
    """Raises what loading raises. An out-of-memory on the way is part of the report, and the rest goes on."""
    device, begun = target.device, time.perf_counter()
    progress("measuring what the device can give")
    ceilings = measure_ceilings(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of the ceilings' matrices
    before = used(device)
    found = Profile(spans=Spans(partial(synchronize, device)))
    with MemoryTimeline(device) as timeline, BackgroundLoad() as busy:
        progress(f"loading {target.name}")
        started = time.perf_counter()
        engine = target.load()
        found.report = _head(target, engine, settings, ceilings, time.perf_counter() - started)
        with _out_of_memory_reported(found.report), _energy(device, found):
            progress("frames, step by step")
            found.report |= _steps(target, engine, settings, found.spans, ceilings)
            progress("the same with frames of another size")
            pixels = _other_pixels(math.prod(found.report["size"]), engine)
            other = replace(settings, max_pixels=pixels, window=OTHER_GROUPS, answer_tokens=2)
            found.report["other_size"] = _other_size(target, engine, other, ceilings)
        with _out_of_memory_reported(found.report):
            progress("a live camera")
            found.report["live"] = watch_live(engine, target.costs, settings, live_seconds)
    found.timeline = timeline.points
    if busy.is_busy:
        found.report["busy"] = f"others took {busy.others:.0%} of the CPU meanwhile: times are too long"
    size = found.report.get("size", (448, 448))
    predicted = predict_memory(target.costs, size, settings.window, before, retained=RETAINED[device.type])
    found.report["memory"] = memory_figures(predicted, before, engine.runner.facts.weight_bytes, timeline)
    found.report["seconds"] = time.perf_counter() - begun
    return found


def _head(
    target: ProfileTarget, engine: Engine, settings: ProfileSettings, ceilings: Ceilings, seconds: float
) -> dict[str, Any]:
    return {
        "kind": "profile",
        "schema": SCHEMA,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": machine(),
        "ceilings": ceilings.to_dict(),
        "model": {
            "name": target.name,
            "variant": engine.variant,
            "device": str(target.device),
            "dtype": engine.runner.facts.dtype,
            "asked": target.asked,
            "load_seconds": seconds,
        },
        "workload": settings.to_dict(),
    }


def _steps(
    target: ProfileTarget, engine: Engine, settings: ProfileSettings, spans: Spans, ceilings: Ceilings
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        size = measure_steps(engine, target.costs, spans, settings, Path(folder))
    return {
        "size": list(size),
        "stages": stage_rows(spans, ceilings, engine.runner.facts),
        "decode": decode_rows(spans),
    }


def _other_size(target: ProfileTarget, engine: Engine, settings: ProfileSettings, ceilings: Ceilings) -> dict[str, Any]:
    """What depends on the size of frames, at another one: two sizes tell what each pixel adds."""
    spans = Spans(partial(synchronize, target.device))
    with tempfile.TemporaryDirectory() as folder:
        size = measure_steps(engine, target.costs, spans, settings, Path(folder))
    stages = stage_rows(spans, ceilings, engine.runner.facts)
    return {"size": list(size), "stages": [stage for stage in stages if stage["name"] in (VISION, APPEND)]}


def _other_pixels(pixels: int, engine: Engine) -> int:
    """Half, or twice as many where half would be so few tokens that quantized weights are multiplied as they are
    packed: that tells nothing of more."""
    facts = engine.runner.facts
    tokens = pixels // 2 // facts.cell**2
    return 2 * pixels if facts.is_quantized and tokens <= FEW_TOKENS else max(facts.cell**2, pixels // 2)


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
    except PowerUnavailable as error:
        found.report["energy"] = {"not_measured": str(error)}
        yield
        return
    found.report["energy"] = {"not_measured": "no answer came to its end"}
    with EnergyMeter(watts) as energy:
        yield
    joules = [energy.joules(span.start, span.end) for span in found.spans.named(AGE)]
    if joules:
        found.report["energy"] = {"joules_per_answer": sorted(joules)[len(joules) // 2], "answers": len(joules)}
