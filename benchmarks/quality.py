"""What does a variant lose? `python -m benchmarks.quality pocket VARIANT... [--scenes 64]`

Every variant answers the same questions about the same held-out scenes as its unquantized source, twice: with
the true answer laid before it word by word (how far apart are the two models' expectations?), and freely (are
the descriptions, boxes and yeses still right, by what the scenes truly hold?). Prints a table; the last line of output
is the same as JSON. `edge compare` does this for any checkpoint and anybody's examples.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.pocket.evaluate import RESULTS, Score, judge
from edge.engine.engine import Engine
from edge.examples.scenes import FIRST_HELD_OUT, about, held_out_scene
from edge.hub import find_model
from edge.loading import load_engine
from edge.machine import machine
from edge.quality.contrast import Contrast
from edge.quality.losses import Losses
from quantize.manifest import MANIFEST, Manifest

SCENES = 64
JUDGED = ("object_f1", "motion", "mean_iou", "recall_at_half", "yesno")
LOSSES = {
    "KL mean": "kl_mean", "KL p99": "kl_p99", "top-1": "top1", "perplexity": "perplexity_change",
    "F1": "object_f1_loss", "motion": "motion_loss", "IoU": "mean_iou_loss", "recall": "recall_at_half_loss",
    "yes/no flips": "yesno_flips",
}  # fmt: skip


@dataclass
class Comparison:
    """A variant beside its source."""

    losses: Losses
    score: Score = field(default_factory=Score)
    flips: list[bool] = field(default_factory=list)  # of each yes/no question: is it answered otherwise?

    def figures(self, source: Score) -> dict[str, float]:
        before, after = self.losses.perplexities or (math.nan, math.nan)
        then, now = source.figures(), self.score.figures()
        return {
            "kl_mean": float(self.losses.each_kl.mean()),
            "kl_p99": float(np.percentile(self.losses.each_kl, 99)),
            "top1": self.losses.top1,
            "perplexity_change": after / before - 1,
            **{f"{name}_loss": then[name] - now[name] for name in JUDGED},
            "yesno_flips": float(np.mean(self.flips)),
        }


def compare(source: Engine, variants: Sequence[Engine], seeds: Sequence[int]) -> tuple[Score, list[Comparison]]:
    """The source's own score, and each variant beside it."""
    contrast = Contrast(source, variants)
    score, comparisons = Score(), [Comparison(losses) for losses in contrast.losses]
    for seed in track(seeds, description="scenes", console=Console(stderr=True)):
        window, truth, asked = held_out_scene(seed, source.limits)
        for lesson in asked:
            before, *said = contrast.ask(about(window, lesson))
            judge(score, lesson, before, truth)
            for comparison, after in zip(comparisons, said, strict=True):
                judge(comparison.score, lesson, after, truth)
                if lesson.part == "yesno":
                    comparison.flips.append(after != before)
    return score, comparisons


def size(folder: Path) -> int:
    """Bytes of a model's weights on disk."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def method(folder: Path) -> str:
    """How the folder's numbers were chosen; empty where no manifest says so."""
    return Manifest.read(folder).method if (folder / MANIFEST).exists() else ""


def show(rows: Sequence[dict[str, Any]], source: dict[str, Any]) -> None:
    title = f"against {source['model']} ({source['megabytes']:.1f} MB, {source['variant']}), {source['scenes']} scenes"
    table = Table("variant", "MB", *LOSSES, title=title, title_justify="left")
    for row in rows:
        table.add_row(
            row["model"], f"{row['megabytes']:.1f}", *(f"{row['figures'][name]:.4f}" for name in LOSSES.values())
        )
    Console(stderr=True, width=160).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the unquantized model")
    parser.add_argument("variants", nargs="+", help="folders made from it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", help="what the variants are computed with; the source: as it says")
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--name", help="write benchmarks/results/quality-NAME.json")
    arguments = parser.parse_args()
    source = load_engine(arguments.source, device=arguments.device)
    variants = [load_engine(name, device=arguments.device, dtype=arguments.dtype) for name in arguments.variants]
    started = time.monotonic()
    score, comparisons = compare(source, variants, range(FIRST_HELD_OUT, FIRST_HELD_OUT + arguments.scenes))
    about = {
        "model": arguments.source, "variant": source.variant, "scenes": arguments.scenes,
        "megabytes": size(find_model(arguments.source)) / 1e6, "figures": score.figures(),
    }  # fmt: skip
    rows = [
        {
            "model": Path(name).name, "method": method(find_model(name)), "variant": engine.variant,
            "megabytes": size(find_model(name)) / 1e6, "figures": comparison.figures(score),
        }
        for name, engine, comparison in zip(arguments.variants, variants, comparisons, strict=True)
    ]  # fmt: skip
    show(rows, about)
    result = {
        "source": about, "variants": rows, "seconds": round(time.monotonic() - started, 1), "machine": machine(),
    }  # fmt: skip
    if arguments.name:
        (RESULTS / f"quality-{arguments.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
