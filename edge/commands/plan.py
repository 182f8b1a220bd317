"""`edge plan`: from a device's data, or the report of a profile, to what it could watch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.commands.profile import make_subject, read_report
from edge.errors import ReportUnreadable
from edge.loading import RANDOM
from edge.planning.device import CARDS, DeviceSpec, amount
from edge.planning.predict import USUAL, Forecast, RooflineFits, Workload, make_forecast


@dataclass(frozen=True, slots=True)
class Planned:
    card: DeviceSpec
    plan: Forecast
    model: str
    variant: str
    source: str  # of the efforts: for people

    def to_dict(self) -> dict[str, Any]:
        about = {"device": self.card.name, "model": self.model, "variant": self.variant, "source": self.source}
        return {**about, **self.plan.to_dict()}


def plan_for(
    model: str | None,
    variant: str | None,
    device: str | None,
    like: Path | None,
    amounts: dict[str, str | None],
    wish: Workload,
) -> Planned:
    """Without a model that of the report, or random:2b.

    Raises ValueError for amounts that mean nothing, ReportUnreadable, ModelError, BadVariant.
    """
    given = {name: None if text is None else amount(text, UNIT[name]) for name, text in amounts.items()}
    report = None if like is None else read_report(like)
    if report is not None and model is None:
        model, variant = report["model"]["name"], variant or report["model"].get("asked")
    model = model or f"{RANDOM}2b"
    subject = make_subject(model, variant, "cpu", "auto")
    is_quantized = subject.variant.startswith("int")
    if report is not None:
        card = DeviceSpec.measured(report, given["memory"] or report["memory"]["available"])
        efforts, source = _efforts(report, card), f"from {like}, measured with {_subject(report)}"
        if report["model"]["variant"].startswith("int") != is_quantized:
            source += "; these are other weights, so expect it to be far off"
    else:
        card = _named(device, given)
        efforts, source = USUAL[card.kind, is_quantized], SOURCE[card.kind]
    card = card.changed(given["memory"], given["bandwidth"], given["tflops"], given["int8_tops"])
    plan = make_forecast(subject.costs, card, efforts, wish, subject.variant)
    return Planned(card, plan, model, subject.variant, source)


def _subject(report: dict[str, Any]) -> str:
    return f"{report['model']['name']}, {report['model']['variant']}"


INT8_TO_BF16 = 2  # operations a second, in every tensor core so far: what is assumed where only one is given
SOURCE = {
    "cpu": "as on the two cores of benchmarks/results/latency-short-cpu.json",
    "cuda": "assumed: no GPU has been measured yet",
}
UNIT = {"memory": "B", "bandwidth": "B/s", "tflops": "FLOPS", "int8_tops": "OPS"}


def _named(device: str | None, given: dict[str, float | None]) -> DeviceSpec:
    if device is None:
        missing = [name for name in ("memory", "bandwidth") if given[name] is None]
        if given["tflops"] is given["int8_tops"] is None:
            missing.append("tflops")
        if missing:
            options = ", ".join(f"--{name}" for name in missing)
            raise ValueError(f"Which device? Give --device, --like, or {options} as well.")
        return DeviceSpec("this device", "cuda", 0, 0, (given["int8_tops"] or 0) / INT8_TO_BF16)
    if device not in CARDS:
        raise ValueError(
            f"{device!r} is not on file; there are {', '.join(CARDS)}. Or say what it is: --memory 8GB ..."
        )
    return CARDS[device]


def _efforts(report: dict[str, Any], card: DeviceSpec) -> RooflineFits:
    try:
        return RooflineFits.measured(report, card)
    except KeyError as error:
        raise ReportUnreadable(f"the profile lacks {error}; it did not come to its end.") from None


def show_plan(found: Planned, wish: Workload, console: Console) -> None:
    card, plan, (height, width) = found.card, found.plan, wish.size
    cameras = "1 camera" if wish.cameras == 1 else f"{wish.cameras} cameras"
    title = (
        f"{card.name}, {found.model} in {found.variant}\n"
        f"{cameras}, {width}x{height}, {wish.fps:g} frames a second, windows of {wish.window} groups"
    )
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    rows = {
        "vision tower, a group": _ms(plan.vision),
        "append, a group": _ms(plan.append),
        f"first token, {wish.question_tokens} tokens asked": _ms(plan.first_token),
        "each token": f"{_ms(plan.token)} ({1 / plan.token:.1f} a second)",
        f"answer of {wish.answer_tokens} tokens": _ms(plan.answer),
        "age of an answer": f"{plan.age:.2f} s; {plan.worst_age:.2f} s when a window is rebuilt",
        "load of the device": f"{plan.load:.0%}" + (", so frames are dropped" if plan.load > 1 else ""),
        "cameras at most": str(plan.streams),
        "memory": f"{plan.memory.total / 1e9:.2f} GB of {card.memory / 1e9:.0f} GB"
        + ("" if plan.memory.total <= card.memory else f": {plan.memory.total - card.memory:.0f} bytes short"),
        "of that weights": f"{plan.memory.weights / 1e9:.2f} GB",
        "keys and values": f"{plan.memory.kv / 1e6:.0f} MB",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    console.print(f"predicted from formulas; how near to its best the device comes: {found.source}", style="dim")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
