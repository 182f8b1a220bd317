"""What does a variant lose? `python -m benchmarks.quality pocket VARIANT... [--scenes 64]`

Every variant answers the same questions about the same held-out scenes as its unquantized source, twice: with
the true answer laid before it word by word (how far apart are the two models' expectations?), and freely (are
the descriptions, boxes and yeses still right?). Prints a table; the last line of output is the same as JSON.
The same command judges a real checkpoint: give its folder or hub name first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import edge
from benchmarks.pocket.evaluate import RESULTS, Score, answer, film, judge
from edge.engine.engine import Engine
from edge.engine.prompt import stream_prefix, stream_suffix
from edge.hub import find_model
from edge.machine import machine
from edge.pocket.lessons import Lesson, lessons
from quantize.manifest import MANIFEST, Manifest
from stream.frame import Group

SCENES, QUESTIONS = 64, 8
FIRST_SEED = 10_000  # pocket's own evaluation draws from 0 on
JUDGED = ("object_f1", "motion", "mean_iou", "recall_at_half", "yesno")
LOSSES = {
    "KL mean": "kl_mean", "KL p99": "kl_p99", "top-1": "top1", "perplexity": "perplexity_change",
    "F1": "object_f1_loss", "motion": "motion_loss", "IoU": "mean_iou_loss", "recall": "recall_at_half_loss",
    "yes/no flips": "yesno_flips",
}  # fmt: skip

Logits = NDArray[np.float32]


@dataclass
class Comparison:
    """A variant beside its source."""

    kl: list[NDArray[np.float64]] = field(default_factory=list)  # nats per token of the true answers
    same_best: list[NDArray[np.bool_]] = field(default_factory=list)
    surprise: list[tuple[float, float]] = field(default_factory=list)  # sums of -log p of the true tokens: source, ours
    score: Score = field(default_factory=Score)
    flips: list[bool] = field(default_factory=list)  # of each yes/no question: is it answered otherwise?

    def add_expectations(self, source: Logits, ours: Logits, truth: NDArray[np.int64]) -> None:
        p, q = _log_softmax(source), _log_softmax(ours)
        self.kl.append((np.exp(p) * (p - q)).sum(-1))
        self.same_best.append(source.argmax(-1) == ours.argmax(-1))
        rows = np.arange(len(truth))
        self.surprise.append((-p[rows, truth].sum(), -q[rows, truth].sum()))

    def figures(self, source: Score) -> dict[str, float]:
        kl, same = np.concatenate(self.kl), np.concatenate(self.same_best)
        before, after = np.sum(self.surprise, axis=0) / len(kl)
        then, now = source.figures(), self.score.figures()
        return {
            "kl_mean": float(kl.mean()),
            "kl_p99": float(np.percentile(kl, 99)),
            "top1": float(same.mean()),
            "perplexity_change": float(np.exp(after - before) - 1),
            **{f"{name}_loss": then[name] - now[name] for name in JUDGED},
            "yesno_flips": float(np.mean(self.flips)),
        }


def compare(source: Engine, variants: Sequence[Engine], seeds: Sequence[int]) -> tuple[Score, list[Comparison]]:
    """The source's own score, and each variant beside it."""
    score, comparisons = Score(), [Comparison() for _ in variants]
    for seed in track(seeds, description="scenes", console=Console(stderr=True)):
        rng = np.random.default_rng(seed)
        window, truth = film(seed, rng, source)
        asked = lessons(truth, rng, QUESTIONS)
        expected, answers = expectations(source, window, asked), _answers(source, window, asked)
        for lesson, text in zip(asked, answers, strict=True):
            judge(score, lesson, text, truth)
        for engine, comparison in zip(variants, comparisons, strict=True):
            for lesson, theirs, ours in zip(asked, expected, expectations(engine, window, asked), strict=True):
                comparison.add_expectations(theirs, ours, _spoken(engine, lesson))
            for lesson, before, after in zip(asked, answers, _answers(engine, window, asked), strict=True):
                judge(comparison.score, lesson, after, truth)
                if lesson.part == "yesno":
                    comparison.flips.append(after != before)
    return score, comparisons


def expectations(engine: Engine, window: Sequence[Group], asked: Sequence[Lesson]) -> list[Logits]:
    """For each question, the logits (answer's tokens, vocab) with the true answer laid before the model."""
    runner, layout = engine.runner, engine.runner.facts.layout
    prefix = stream_prefix(engine.tokenizer, layout)
    seen = [runner.encode(group.pixels) for group in window]
    rows, columns = seen[0].grid
    texts = [(stream_suffix(engine.tokenizer, layout, lesson.question), _spoken(engine, lesson)) for lesson in asked]
    video = len(prefix) + len(seen) * rows * columns
    cache = runner.cache(video + max(len(suffix) + len(spoken) for suffix, spoken in texts))
    runner.extend(cache, prefix, layout.text_positions(0, len(prefix)), rows=0)
    for index, embeddings in enumerate(seen):
        runner.extend(cache, embeddings, layout.group_positions(len(prefix), index, rows, columns), rows=0)
    at = layout.next_position(len(prefix), len(seen), rows, columns)
    out = []
    for suffix, spoken in texts:
        text = np.concatenate([suffix, spoken[:-1]])
        prediction = runner.extend(cache, text, layout.text_positions(at, len(text)), rows=len(spoken))
        out.append(prediction.logits())
        cache.crop(video)
    return out


def _spoken(engine: Engine, lesson: Lesson) -> NDArray[np.int64]:
    return engine.tokenizer.encode(f"{lesson.answer}<|im_end|>")


def _answers(engine: Engine, window: Sequence[Group], asked: Sequence[Lesson]) -> list[str]:
    context = engine.open(len(window))
    for group in window:
        context.append(group)
    return [answer(context, lesson.question) for lesson in asked]


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    values: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return values


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
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--name", help="write benchmarks/results/quality-NAME.json")
    arguments = parser.parse_args()
    source, *variants = (edge.load(name, device=arguments.device) for name in [arguments.source, *arguments.variants])
    started = time.monotonic()
    score, comparisons = compare(source, variants, range(FIRST_SEED, FIRST_SEED + arguments.scenes))
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
