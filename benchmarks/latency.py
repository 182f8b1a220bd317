"""How long does each step take, does measuring cost anything, and do the formulas know it beforehand?

`python -m benchmarks.latency [--model random:2b] [--variant int4] [--short]` profiles the model at one size of frames
and, more briefly, at half of its pixels, predicts other sizes from that, and measures them too; and runs the same steps
with and without clocks beside them. Prints tables; the last line of output is the same as JSON, kept in
benchmarks/results/latency-cpu.json, or under a name that tells the model, other weights than int4, and the short form.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import edge
from benchmarks.harness import chip, fix_seed, interleaved, store
from benchmarks.known_quality import known_quality, said
from benchmarks.quality import method
from edge.commands.profile import make_subject
from edge.commands.profile_table import show_report
from edge.engine.engine import Engine
from edge.hub import find_model
from edge.loading import RANDOM
from edge.models.qwen2_vl.layout import LAYOUT
from edge.planning.device import DeviceSpec
from edge.planning.predict import Forecast, RooflineFits, Workload, make_forecast
from edge.profiling.busy import Busy
from edge.profiling.ceilings import Ceilings, synchronize
from edge.profiling.life import AGE, ProfileSettings, dictation, live_through
from edge.profiling.memory_usage import total
from edge.profiling.profile import Subject, profile
from edge.profiling.spans import Spans, Stage
from edge.profiling.timed import APPEND, QUESTION, TOKEN, VISION, TimedRunner
from edge.runners import Runner

SIDES = (280, 392, 560)  # of frames whose times are predicted: smaller than what the profile met, between, larger
CLOSE = 0.20  # how far a prediction may be off
PAIRS, TOKENS = 100, 16  # with and without clocks

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Prediction:
    what: str
    unit: str  # s, B
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "unit": self.unit,
            "predicted": self.predicted,
            "measured": self.measured,
            "ratio": self.ratio,
        }


def predictions(
    subject: Subject, engine: Engine, report: dict[str, Any], workload: ProfileSettings
) -> list[Prediction]:
    """Of frames of other sizes, from what the profile says of this device; and of memory."""
    card = DeviceSpec.measured(report, total(subject.device))
    efforts = RooflineFits.measured(report, card)
    predicted, measured = report["memory"]["predicted"], report["memory"]["measured"]
    come_and_go = predicted["kv"] + predicted["activations"]
    found = [
        Prediction("memory: weights", "B", predicted["weights"], measured["weights"]),
        Prediction("memory: keys, values, activations", "B", come_and_go, measured["kv_and_activations"]),
        Prediction("memory: most at a time", "B", predicted["total"], measured["total"]),
    ]
    for side in SIDES:
        spans = Spans(partial(synchronize, subject.device))
        work = replace(workload, max_pixels=side * side)
        with tempfile.TemporaryDirectory() as folder:
            size = live_through(engine, subject.costs, spans, work, Path(folder))
        wish = Workload(size=size, window=work.window, answer_tokens=work.answer_tokens)
        plan = make_forecast(subject.costs, card, efforts, wish, engine.variant)
        found += _beside(plan, spans, f"{size[1]}x{size[0]}")
    return found


def _beside(plan: Forecast, spans: Spans, where: str) -> list[Prediction]:
    predicted = {
        VISION: plan.vision, APPEND: plan.append, QUESTION: plan.first_token, TOKEN: plan.token, AGE: plan.age,
    }  # fmt: skip
    return [
        Prediction(f"{name} at {where}", "s", seconds, Stage.of(name, spans.named(name)).p50)
        for name, seconds in predicted.items()
    ]


def clock_cost(pairs: int = PAIRS) -> dict[str, Any]:
    """Seconds with clocks over seconds without, of one group and one answer of pocket's: the quickest steps we know."""
    engine = edge.load("pocket")
    subject = make_subject("pocket", None, "auto", "auto")
    timed = TimedRunner(
        engine.runner, subject.costs, Spans(partial(synchronize, subject.device)), dictation(engine.tokenizer, TOKENS)
    )
    works = {"plain": _steps(engine.runner), "timed": _steps(timed)}
    return interleaved(works, pairs, subject.device, warm_up=3).ratio("timed", "plain").to_dict()


def _steps(runner: Runner) -> Callable[[], object]:
    """The calls that a context makes for a group, a question and an answer."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 112, 168, 3), dtype=np.uint8)

    def work() -> None:
        cache = runner.cache(200)
        runner.extend(cache, runner.encode(frames), LAYOUT.group_positions(0, 0, 4, 6), rows=0)
        prediction = runner.extend(cache, np.zeros(32, dtype=np.int64), LAYOUT.text_positions(6, 32))
        for index in range(TOKENS):
            prediction = runner.extend(cache, prediction.best, LAYOUT.text_positions(38 + index, 1))
        _ = prediction.best

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random:2b")
    parser.add_argument("--variant", help="of random weights  [default: int4]")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--short", action="store_true", help="fewer groups, shorter answers")
    arguments = parser.parse_args()
    fix_seed()
    variant = arguments.variant or ("int4" if arguments.model.startswith("random:") else None)
    subject = make_subject(arguments.model, variant, arguments.device, "auto")
    engines: list[Engine] = []

    def load() -> Engine:
        engines.append(subject.load())
        return engines[0]

    workload = ProfileSettings(window=3, answer_tokens=16) if arguments.short else ProfileSettings()
    with Busy() as busy:
        live = 5.0 if arguments.short else 20.0
        report = profile(replace(subject, load=load), workload, live, progress=console.print).report
        show_report(report, console)
        beside = predictions(subject, engines[0], report, workload)
        console.print(_table(beside))
        clocks = clock_cost()
    quality = known_quality(engines[0].variant, _method(arguments.model))
    console.print(f"what such weights lose: {quality['of']}: {said(quality)}")
    console.print(f"with clocks over without: {clocks['median']:.4f} (median of {clocks['n']} pairs)")
    figures = {
        "profile": {name: value for name, value in report.items() if name not in ("machine", "ceilings")},
        "quality": quality,
        "predictions": [one.to_dict() for one in beside],
        "clocks": clocks,
    }
    store(
        _name(arguments.model, variant, arguments.short, chip(subject.device)),
        figures,
        ceilings=Ceilings(**report["ceilings"]),
        busy=busy,
    )


def _method(model: str) -> str:
    """How a folder's numbers were chosen; random ones are judged like the plainest."""
    return "rtn" if model.startswith(RANDOM) else method(find_model(model))


def _name(model: str, variant: str | None, is_short: bool, device: str) -> str:
    """The true shape in int4 has the plain name; others must not overwrite it."""
    shape = "" if model == "random:2b" else "-".join(re.findall("[a-z0-9]+", model.lower()))
    kind = "" if variant == "int4" else variant or ""
    return "-".join(filter(None, ["latency", "short" if is_short else "", shape, device, kind]))


def _table(beside: list[Prediction]) -> Table:
    table = Table("what", title="predicted from the profile above, and measured", title_justify="left")
    for heading in ("predicted", "measured", "ratio", ""):
        table.add_column(heading, justify="right")
    for one in beside:
        verdict = "" if abs(one.ratio - 1) <= CLOSE else "off"
        table.add_row(
            one.what, _said(one.predicted, one.unit), _said(one.measured, one.unit), f"{one.ratio:.2f}", verdict
        )
    return table


def _said(value: float, unit: str) -> str:
    return f"{value / 1e6:.0f} MB" if unit == "B" else f"{1000 * value:.1f} ms"


if __name__ == "__main__":
    main()
