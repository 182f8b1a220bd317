"""A row that names weights says what they lose, or that nobody measured it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.known_quality import RESULTS, known_quality, said

FIGURES = {"kl_mean": 0.003, "top1": 0.9884, "object_f1_loss": -0.001, "mean_iou_loss": 0.0012, "kl_p99": 0.06}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [{"variant": "int4-g128", "method": "rtn", "figures": FIGURES}]
    (tmp_path / "quality-variants.json").write_text(json.dumps({"variants": rows}))
    return tmp_path


def test_what_was_measured_is_said(results: Path) -> None:
    quality = known_quality("int4-g128", results=results)

    assert quality["of"] == "int4-g128, rtn, on pocket" and quality["kl_mean"] == 0.003
    assert said(quality) == "KL 0.0030, top-1 98.8%, F1 loss -0.001, IoU loss 0.001"


@pytest.mark.parametrize(("variant", "method"), [("int4-g32", "rtn"), ("int4-g128", "gptq"), ("int4-g128+int8", "rtn")])
def test_what_was_not_measured_is_said_too(results: Path, variant: str, method: str) -> None:
    assert said(known_quality(variant, method, results)) == f"{variant}, {method}: not measured"


def test_without_results_nothing_is_known(tmp_path: Path) -> None:
    assert said(known_quality("int4-g128", results=tmp_path)).endswith("not measured")


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_source_loses_nothing_against_itself(dtype: str) -> None:
    assert said(known_quality(dtype)) == "the source"


def test_the_products_own_variant_has_been_measured() -> None:
    assert "not measured" not in said(known_quality("int4-g128+int8-channel", results=RESULTS))
