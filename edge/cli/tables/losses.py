"""What a variant loses against its source, as a table for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from edge.commands.compare import ModelComparison, Side
from edge.reports import units

SCORES = {
    "yes_no_accuracy": ("yes or no: accuracy", "answers"),
    "box_iou": ("boxes: mean IoU", "boxes"),
    "box_f1": ("boxes: F1 at IoU 0.5", "boxes"),
    "word_f1": ("other answers: F1 of their words", "answers"),
}


def show_losses(found: ModelComparison, console: Console) -> None:
    console.print(
        f"before: {_about(found.source)}\n after: {_about(found.variant)}\n asked: {len(found.same_text)} {found.data}",
        markup=False,
    )
    if found.source.scores.counts():
        console.print(_table(found))
    for line in _apart(found):
        console.print(line, markup=False)


def _about(side: Side) -> str:
    return f"{side.name}, {side.variant}, {units.nbytes(side.weight_bytes)} of weights"


def _table(found: ModelComparison) -> Table:
    table = Table("", title="answers against the true ones", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in ("before", "after", "change", "of"):
        table.add_column(heading, justify="right")
    if perplexities := found.losses.perplexities:
        before, after = perplexities
        figures = f"{before:.4f}", f"{after:.4f}", f"{after / before - 1:+.2%}"
        table.add_row("perplexity of the true answers", *figures, f"{found.losses.num_true} tokens")
    for name, count in found.source.scores.counts().items():
        before, after = (side.scores.figures()[name] for side in (found.source, found.variant))
        what, counted = SCORES[name]
        table.add_row(what, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", f"{count} {counted}")
    return table


def _apart(found: ModelComparison) -> list[str]:
    figures = found.figures()
    lines = [
        f"{len(found.kl)} tokens: KL {figures['kl_mean']:.4f} nats in the mean, {figures['kl_p99']:.4f} at p99; "
        f"the same token is the likeliest for {figures['top1']:.1%}",
        f"the same answer word for word: {figures['same_text']:.1%}",
    ]
    if found.flips:
        lines.append(f"yes or no turned round: {sum(found.flips)} of {len(found.flips)}")
    if found.losses.perplexities is None:
        lines.append("no true answers were given, so nothing is scored; the tokens are those of the source's answers")
    return lines
