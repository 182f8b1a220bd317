"""What a runner tells before it loads is what loading gives; and a name that leads nowhere says so."""

from __future__ import annotations

import pytest

from edge.errors import UnknownRunner
from edge.hub import POCKET
from edge.runners import Preview, Runner, find_runner
from edge.runners.pytorch import PyTorchRunner


def assert_kept(preview: Preview, runner: Runner) -> None:
    facts = runner.facts
    assert (preview.dtype, preview.is_quantized) == (facts.dtype, facts.is_quantized)
    assert preview.costs.weights.nbytes == pytest.approx(facts.weight_bytes, rel=0.12 if facts.is_quantized else 0)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_a_folder_is_loaded_as_its_preview_says(dtype: str) -> None:
    assert_kept(PyTorchRunner.preview(POCKET, "cpu", dtype), PyTorchRunner.load(POCKET, "cpu", dtype))


@pytest.mark.parametrize("variant", ["float32", "int4", "int8-g128"])
def test_random_weights_are_made_as_their_preview_says(variant: str) -> None:
    preview = PyTorchRunner.preview_random("pocket", variant, "cpu")
    assert preview.variant == variant
    assert_kept(preview, PyTorchRunner.random("pocket", variant, "cpu"))


def test_a_runner_is_found_by_name_or_by_path() -> None:
    assert find_runner("pytorch") is find_runner("edge.runners.pytorch:PyTorchRunner") is PyTorchRunner


@pytest.mark.parametrize(
    "name", ["tensorrt", "no.such:Runner", "edge.runners.pytorch:Nobody", "edge.errors:EdgeError", ""]
)
def test_a_name_that_leads_to_no_runner_is_refused(name: str) -> None:
    with pytest.raises(UnknownRunner, match="pytorch"):
        find_runner(name)
