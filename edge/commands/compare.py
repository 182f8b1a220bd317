"""`edge compare`: what a variant loses against the model it was made from, on examples of one's own or drawn ones."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.engine.engine import Engine
from edge.errors import NoExamples, PromptError
from edge.examples.example import ExampleSet, Report, Unusable
from edge.examples.own import own_examples
from edge.examples.scenes import held_out_scenes
from edge.machine import machine
from edge.media.limits import Limits
from edge.quality.contrast import Contrast
from edge.quality.losses import Losses
from edge.quality.scores import Scores, yes_or_no
from quantize.progress import Progress

SCHEMA = 1
DRAWN = 128  # questions about drawn scenes, unless told otherwise
POCKET = "pocket"


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two models."""

    name: str
    variant: str  # how its weights are stored
    weight_bytes: int  # in memory
    scores: Scores = field(default_factory=Scores)

    @classmethod
    def of(cls, engine: Engine) -> Side:
        return cls(engine.name, engine.variant, engine.runner.facts.weight_bytes)

    def to_dict(self) -> dict[str, Any]:
        about = {"model": self.name, "variant": self.variant, "weight_bytes": self.weight_bytes}
        return {**about, "scores": self.scores.figures()}


@dataclass(slots=True, eq=False)
class ModelComparison:
    """What came out."""

    data: str  # what was asked about, for people
    source: Side
    variant: Side
    losses: Losses
    same_text: list[bool] = field(default_factory=list)  # of each example: do both say the same, word for word?
    flips: list[bool] = field(default_factory=list)  # of each yes or no of the source: does the variant differ?
    left_out: list[Unusable] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kl(self) -> NDArray[np.float64]:
        """Of each token, shape (n,)."""
        return self.losses.each_kl

    def figures(self) -> dict[str, float | None]:
        """How far apart the two are; None where the examples do not tell."""
        before, after = self.losses.perplexities or (None, None)
        return {
            "kl_mean": float(self.kl.mean()),
            "kl_p99": float(np.percentile(self.kl, 99)),
            "top1": self.losses.top1,
            "perplexity_source": before,
            "perplexity_variant": after,
            "same_text": float(np.mean(self.same_text)),
            "yes_no_flips": float(np.mean(self.flips)) if self.flips else None,
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "comparison", "schema": SCHEMA, "data": self.data, "examples": len(self.same_text),
            "tokens": len(self.kl), "left_out": [asdict(each) for each in self.left_out],
            "source": self.source.to_dict(), "variant": self.variant.to_dict(),
            "judged": self.source.scores.counts(), "figures": self.figures(), "seconds": round(self.seconds, 1),
            "machine": machine(),
        }  # fmt: skip


def choose_examples(data: Path | None, samples: int | None, limits: Limits, report: Report) -> ExampleSet:
    """One's own, or questions about drawn scenes that pocket never saw. Raises NoExamples."""
    if data is not None:
        found = own_examples(data, samples, limits, report)
        return ExampleSet(f"{found.what} of {data}", found.most, found.examples)
    count = samples or DRAWN
    return ExampleSet("questions about drawn scenes", count, held_out_scenes(count, limits))


def about_drawn(source: str) -> str:
    """What drawn scenes tell of a model."""
    told = "no --data was given: the questions are about drawn shapes in motion, with true answers"
    if source == POCKET:
        return f"{told}, which pocket knows and has never seen."
    return (
        f"{told}. How far the two models are apart shows there too, but {source} was made for something else: "
        "its scores on them mean little. Give --data with your own."
    )


def compare_models(
    source: Engine, variant: Engine, asked: ExampleSet, progress: Progress, report: Report
) -> ModelComparison:
    """`report` is told of examples that do not fit. Raises NotComparable, NoExamples."""
    started = time.monotonic()
    contrast = Contrast(source, [variant])
    found = ModelComparison(asked.what, Side.of(source), Side.of(variant), contrast.losses[0])
    for index, example in enumerate(asked.examples):
        progress(index, asked.most, example.where)
        try:
            before, after = contrast.ask(example)
        except PromptError as error:
            report(Unusable(example.where, str(error)))
            continue
        found.same_text.append(before == after)
        if (verdict := yes_or_no(before)) is not None:
            found.flips.append(yes_or_no(after) != verdict)
        if example.answer:
            found.source.scores.add(example.answer, before, example.picture)
            found.variant.scores.add(example.answer, after, example.picture)
    progress(asked.most, asked.most, "")
    if not found.same_text:
        raise NoExamples(f"none of the {asked.what} could be asked.")
    found.seconds = time.monotonic() - started
    return found
