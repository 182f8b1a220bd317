"""`edge plan`: from a device's data, or the report of a profile, to what it could watch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.commands.profile import make_subject, read_report
from edge.errors import ReportUnreadable
from edge.planning.device import CARDS, Card, amount
from edge.planning.predict import USUAL, Efforts, Plan, Wish, make_plan


def plan_for(
    model: str,
    variant: str | None,
    device: str | None,
    like: Path | None,
    amounts: dict[str, str | None],
    wish: Wish,
) -> tuple[Card, Plan]:
    """Raises ValueError for amounts that mean nothing, ReportUnreadable, ModelError, BadVariant."""
    report = None if like is None else read_report(like)
    given = {name: None if text is None else amount(text, UNIT[name]) for name, text in amounts.items()}
    if report is not None:
        card = Card.measured(report, given["memory"] or report["memory"]["available"])
        efforts = _efforts(report, card)
    else:
        card = _named(device, given)
        efforts = USUAL[card.kind]
    card = card.changed(given["memory"], given["bandwidth"], given["tflops"], given["int8_tops"])
    subject = make_subject(model, variant, "cpu", "auto")
    return card, make_plan(subject.costs, card, efforts, wish, subject.variant)


UNIT = {"memory": "B", "bandwidth": "B/s", "tflops": "FLOPS", "int8_tops": "OPS"}


def _named(device: str | None, given: dict[str, float | None]) -> Card:
    if device is None:
        missing = [name for name in ("memory", "bandwidth", "tflops") if given[name] is None]
        if missing:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise ValueError(f"Which device? Give --device, --like, or {options} as well.")
        return Card("this device", "cuda", 0, 0, 0)
    if device not in CARDS:
        raise ValueError(
            f"{device!r} is not on file; there are {', '.join(CARDS)}. Or say what it is: --memory 8GB ..."
        )
    return CARDS[device]


def _efforts(report: dict[str, Any], card: Card) -> Efforts:
    try:
        return Efforts.measured(report, card)
    except KeyError as error:
        raise ReportUnreadable(f"the profile lacks the stage {error}; it did not come to its end.") from None


def show_plan(card: Card, wish: Wish, plan: Plan, console: Console) -> None:
    height, width = wish.size
    cameras = "1 camera" if wish.cameras == 1 else f"{wish.cameras} cameras"
    title = f"{card.name}: {cameras}, {width}x{height}, {wish.fps:g} frames a second, windows of {wish.window} groups"
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
    console.print("predicted from formulas, nothing was measured", style="dim")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
