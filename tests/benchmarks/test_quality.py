"""A variant is compared with its source on the same tokens, and a model with itself loses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import edge
from benchmarks.pocket.evaluate import film
from benchmarks.quality import Comparison, compare, expectations
from edge.commands.quantize import QuantizeOptions, quantize_model
from edge.engine.engine import Engine
from edge.hub import POCKET
from edge.pocket.lessons import lessons


def test_a_model_beside_itself_loses_nothing() -> None:
    engine = edge.load("pocket", device="cpu").engine
    score, (comparison,) = compare(engine, [engine], [3])
    figures = comparison.figures(score)
    assert figures.pop("top1") == 1
    assert set(figures.values()) == {0.0}


def test_divergence_is_that_of_the_two_distributions() -> None:
    comparison = Comparison()
    p, q = np.array([[0.7, 0.2, 0.1]]), np.array([[0.2, 0.5, 0.3]])
    comparison.add_expectations(np.log(p).astype(np.float32), np.log(q).astype(np.float32) + 5, np.array([1]))
    assert np.isclose(comparison.kl[0][0], (p * np.log(p / q)).sum())
    assert not comparison.same_best[0][0]
    assert np.allclose(comparison.surprise, [(-np.log(0.2), -np.log(0.5))])


def test_expectations_are_those_of_a_streams_context() -> None:
    """With the true answer laid before it, the model expects what it does when it writes that answer itself."""
    engine: Engine = edge.load("pocket", device="cpu").engine
    rng = np.random.default_rng(3)
    window, truth = film(3, rng, engine)
    lesson = lessons(truth, rng, 1)[0]
    (logits,) = expectations(engine, window, [lesson])
    context = engine.open(len(window))
    for group in window:
        context.append(group)
    written = "".join(context.answer(lesson.question, max_tokens=160))
    spoken = engine.tokenizer.encode(written)
    agreed = 0
    for best, token in zip(logits.argmax(-1), spoken, strict=False):
        if best != token:
            break
        agreed += 1
    assert agreed >= min(8, len(spoken))


@dataclass(frozen=True)
class Promise:
    """The most a variant may lose."""

    kl: float
    top1: float
    iou: float
    f1: float = 0.02


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    "order, promise",
    [
        (QuantizeOptions(preset="int8", method="rtn"), Promise(kl=0.003, top1=0.99, iou=0.005)),
        (QuantizeOptions(preset="edge", method="gptq", samples=32), Promise(kl=0.05, top1=0.94, iou=0.02)),
    ],
    ids=["int8", "int4"],
)
def test_pockets_variants_stay_within_what_is_promised(
    order: QuantizeOptions, promise: Promise, tmp_path: Path
) -> None:
    quantize_model(POCKET, "pocket", tmp_path / "out", order, "cpu", lambda done, total, what: None)
    source, variant = (edge.load(name, device="cpu").engine for name in ("pocket", str(tmp_path / "out")))
    score, (comparison,) = compare(source, [variant], range(20_000, 20_012))
    figures = comparison.figures(score)
    print(order.preset, figures)
    assert figures["kl_mean"] <= promise.kl and figures["top1"] >= promise.top1
    assert figures["mean_iou_loss"] <= promise.iou and figures["object_f1_loss"] <= promise.f1
