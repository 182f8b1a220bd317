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

from benchmarks.harness import chip, fix_seed, interleaved, store
from benchmarks.known_quality import known_quality, said
from benchmarks.quality import method
from edge.cli.tables.profile import show_report
from edge.commands.profile import make_target
from edge.engine.engine import Engine
from edge.hub import find_model
from edge.loading import RANDOM, load_engine
from edge.models.qwen2_vl.layout import LAYOUT
from edge.planning.device import DeviceSpec
from edge.planning.forecast import Forecast, Workload, make_forecast
from edge.planning.roofline import RooflineFits
from edge.profiling.background_load import BackgroundLoad
from edge.profiling.ceilings import Ceilings, synchronize
from edge.profiling.memory_usage import total
from edge.profiling.pipeline_steps import AGE, ProfileSettings, measure_steps, scripted_answer
from edge.profiling.profile import ProfileTarget, profile
from edge.profiling.spans import Spans, Stage
from edge.profiling.timed import APPEND, QUESTION, TOKEN, VISION, TimedRunner
from edge.reports import units
from edge.runners import Runner

SIDES = (280, 392, 560)  # of frames whose times are predicted: smaller than what the profile measured, between, larger
CLOSE = 0.20  # how far a prediction may be off
PAIRS, TOKENS = 100, 16  # with and without clocks

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class ForecastCheck:
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
    target: ProfileTarget, engine: Engine, report: dict[str, Any], settings: ProfileSettings
) -> list[ForecastCheck]:
    """Of frames of other sizes, from what the profile says of this device; and of memory."""
    device = DeviceSpec.measured(report, total(target.device))
    fits = RooflineFits.measured(report, device)
    predicted, measured = report["memory"]["predicted"], report["memory"]["measured"]
    come_and_go = predicted["kv"] + predicted["embeddings"] + predicted["activations"]
    found = [
        ForecastCheck("memory: weights", "B", predicted["weights"], measured["weights"]),
        ForecastCheck("memory: keys, values, activations", "B", come_and_go, measured["kv_and_activations"]),
        ForecastCheck("memory: most at a time", "B", predicted["total"], measured["total"]),
    ]
    for side in SIDES:
        spans = Spans(partial(synchronize, target.device))
        other = replace(settings, max_pixels=side * side)
        with tempfile.TemporaryDirectory() as folder:
            size = measure_steps(engine, target.costs, spans, other, Path(folder))
        workload = Workload(size=size, window=other.window, answer_tokens=other.answer_tokens)
        forecast = make_forecast(target.costs, device, fits, workload, engine.runner.facts.is_quantized)
        found += _pair(forecast, spans, f"{size[1]}x{size[0]}")
    return found


def _pair(forecast: Forecast, spans: Spans, where: str) -> list[ForecastCheck]:
    predicted = {
        VISION: forecast.vision, APPEND: forecast.append, QUESTION: forecast.first_token, TOKEN: forecast.token,
        AGE: forecast.age,
    }  # fmt: skip
    return [
        ForecastCheck(f"{name} at {where}", "s", seconds, Stage.of(name, spans.named(name)).p50)
        for name, seconds in predicted.items()
    ]


def clock_cost(pairs: int = PAIRS) -> dict[str, Any]:
    """Seconds with clocks over seconds without, of one group and one answer of pocket's: the quickest steps we know."""
    engine = load_engine("pocket")
    target = make_target("pocket", None, "auto", "auto")
    timed = TimedRunner(
        engine.runner,
        target.costs,
        Spans(partial(synchronize, target.device)),
        scripted_answer(engine.tokenizer, TOKENS),
    )
    works = {"plain": _steps(engine.runner), "timed": _steps(timed)}
    return interleaved(works, pairs, target.device, warm_up=3).ratio("timed", "plain").to_dict()


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
    parser.add_argument("--short", action="store_true", help="shorter answers, fewer of them")
    arguments = parser.parse_args()
    fix_seed()
    variant = arguments.variant or ("int4" if arguments.model.startswith("random:") else None)
    target = make_target(arguments.model, variant, arguments.device, "auto")
    engines: list[Engine] = []

    def load() -> Engine:
        engines.append(target.load())
        return engines[0]

    settings = ProfileSettings(answer_tokens=16) if arguments.short else ProfileSettings()
    with BackgroundLoad() as busy:
        live = 5.0 if arguments.short else 20.0
        report = profile(replace(target, load=load), settings, live, progress=console.print).report
        show_report(report, console)
        predicted = predictions(target, engines[0], report, settings)
        console.print(_table(predicted))
        clocks = clock_cost()
    quality = known_quality(engines[0].variant, _method(arguments.model))
    console.print(f"what such weights lose: {quality['of']}: {said(quality)}")
    console.print(f"with clocks over without: {clocks['median']:.4f} (median of {clocks['n']} pairs)")
    figures = {
        "profile": {name: value for name, value in report.items() if name not in ("machine", "ceilings")},
        "quality": quality,
        "predictions": [one.to_dict() for one in predicted],
        "clocks": clocks,
    }
    store(
        _name(arguments.model, variant, arguments.short, chip(target.device)),
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


def _table(predicted: list[ForecastCheck]) -> Table:
    table = Table("what", title="predicted from the profile above, and measured", title_justify="left")
    for heading in ("predicted", "measured", "ratio", ""):
        table.add_column(heading, justify="right")
    for one in predicted:
        verdict = "" if abs(one.ratio - 1) <= CLOSE else "off"
        table.add_row(
            one.what, _said(one.predicted, one.unit), _said(one.measured, one.unit), f"{one.ratio:.2f}", verdict
        )
    return table


def _said(value: float, unit: str) -> str:
    return units.nbytes(value) if unit == "B" else units.seconds(value)


if __name__ == "__main__":
    main()
