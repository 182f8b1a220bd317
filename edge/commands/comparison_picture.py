"""A comparison of two models as a picture. Needs matplotlib, which a device can do without."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.commands.compare import ModelComparison
from edge.errors import OptionRefused

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-6  # nats: below this two expectations are equal for every purpose
NAMES = {"yes_no_accuracy": "yes / no", "box_iou": "box IoU", "box_f1": "box F1", "word_f1": "word F1"}


def check_drawable(picture: Path | None) -> None:
    """Before minutes of asking. Raises OptionRefused."""
    if picture is None:
        return
    if find_spec("matplotlib") is None:
        raise OptionRefused("--picture needs matplotlib: `pip install matplotlib`, or leave it out.")
    if not picture.parent.is_dir():
        raise OptionRefused(f"--picture {picture}: there is no folder {picture.parent}.")
    if picture.suffix.lower() not in (".png", ".svg", ".pdf", ".jpg"):
        raise OptionRefused(f"--picture {picture}: name it .png, .svg, .pdf or .jpg.")


def draw_comparison(found: ModelComparison, picture: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    apart, right = figure.subplots(1, 2)
    _draw_distances(found, apart)
    _draw_scores(found, right)
    figure.suptitle(f"{found.variant.name} ({found.variant.variant}) against {found.source.name} "
                    f"({found.source.variant})\n{found.data}", fontsize=10)  # fmt: skip
    figure.savefig(picture, dpi=110)


def _draw_distances(found: ModelComparison, axes: Axes) -> None:
    """Which share of tokens is farther apart than each distance."""
    distances = np.sort(np.maximum(found.kl, LEAST))[::-1]
    axes.step(distances, (np.arange(len(distances)) + 1) / len(distances), where="post")
    mean = float(found.kl.mean())
    axes.axvline(max(mean, LEAST), linestyle="--", linewidth=0.9, color="tab:gray")
    axes.set_xscale("log")
    axes.set_xlim(left=LEAST)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("KL divergence of a token, nats")
    axes.set_ylabel("share of tokens at least so far apart")
    axes.set_title(f"mean {mean:.4f} (dashed); the same token likeliest for {found.losses.top1:.1%}", fontsize=9)
    axes.grid(alpha=0.3)


def _draw_scores(found: ModelComparison, axes: Axes) -> None:
    before, after = found.source.scores.figures(), found.variant.scores.figures()
    if not before:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no true answers were given:\nnothing to score", ha="center", va="center")
        return
    places = np.arange(len(before))
    for offset, side, figures in ((-0.2, found.source, before), (0.2, found.variant, after)):
        bars = axes.bar(places + offset, list(figures.values()), width=0.38, label=f"{side.name} ({side.variant})")
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    counts = found.source.scores.counts()
    axes.set_xticks(places, [f"{NAMES[name]}\nn = {counts[name]}" for name in before])
    axes.set_ylim(0, 1.25)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.set_title("free answers against the true ones", fontsize=9)
    axes.legend(fontsize=8, loc="upper center", ncols=2)
