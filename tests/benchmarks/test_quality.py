"""A variant is compared with its source on the same tokens, and a model with itself loses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

import edge
from benchmarks.quality import compare
from edge.commands.quantize import QuantizeOptions, quantize_model
from edge.hub import POCKET


def test_a_model_beside_itself_loses_nothing() -> None:
    engine = edge.load("pocket", device="cpu").engine
    score, (comparison,) = compare(engine, [engine], [3])
    figures = comparison.figures(score)
    assert figures.pop("top1") == 1
    assert set(figures.values()) == {0.0}


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
