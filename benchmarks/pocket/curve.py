"""The training log as a picture: losses and exact answers by part over the steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def draw_curve(log: Path, picture: Path) -> None:
    records: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    _plot(losses, _series(records, "loss"), "loss by part (cross-entropy, nats)")
    losses.set_yscale("log")
    _plot(scores, _series(records, "exact"), "answers right word for word, unseen scenes")
    scores.set_ylim(0, 1)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _series(records: list[dict[str, Any]], kind: str) -> dict[str, list[tuple[int, float]]]:
    """Points (step counted over all stages, value) by part."""
    series: dict[str, list[tuple[int, float]]] = {}
    offset, stage, last = 0, None, 0
    for record in records:
        if record["stage"] != stage:
            offset, stage = offset + last, record["stage"]
        last = record["step"]
        for part, value in record.get(kind, {}).items():
            series.setdefault(part, []).append((offset + last, value))
    return series


def _plot(axes: Any, series: dict[str, list[tuple[int, float]]], title: str) -> None:
    for part, points in series.items():
        axes.plot(*zip(*points, strict=True), label=part, linewidth=1.4)
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if series:
        axes.legend(fontsize=8)
