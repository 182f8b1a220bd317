"""Which number type a model is computed in: the one asked for, or the checkpoint's own."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edge import cli
from edge.cli.terminal import USAGE
from edge.errors import ModelUnreadable, UnknownDtype
from edge.models.architecture import parse_config, published_content
from edge.runners.device_policy import choose_dtype
from edge.runners.pytorch import PyTorchRunner

CPU, META = torch.device("cpu"), torch.device("meta")  # the latter stands for a GPU
CONFIG = parse_config(published_content("pocket"))


@pytest.mark.parametrize("name", ["float31", "float64", "float8_e4m3fn", "torch.float32", "nn"])
def test_a_type_that_models_are_not_computed_in_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownDtype, match="Choose auto, float32, bfloat16, float16"):
        choose_dtype(name, CONFIG, CPU)


def test_what_was_asked_for_is_taken_but_float16_is_widened_on_a_cpu() -> None:
    chosen = [choose_dtype(name, CONFIG, device) for device in (CPU, META) for name in ("bfloat16", "float16")]
    assert chosen == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float16]


def test_auto_is_what_the_config_says_however_it_spells_it() -> None:
    assert choose_dtype("auto", replace(CONFIG, dtype="torch.bfloat16"), CPU) == torch.bfloat16


def test_a_config_with_another_type_is_no_mistake_of_the_option() -> None:
    with pytest.raises(ModelUnreadable, match="config says 'float64'"):
        choose_dtype("auto", replace(CONFIG, dtype="float64"), CPU)


def test_a_mistyped_dtype_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["edge", "demo", "--dtype", "float31"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == USAGE and "'float31' is no number type" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "dtype"),
    [("quantize_config.json", "bfloat16"), ("model.safetensors", "auto"), ("model.safetensors", "bfloat16")],
)
def test_a_damaged_file_of_a_model_is_the_models_fault(file: str, dtype: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**published_content("pocket"), "dtype": dtype}))
    (tmp_path / file).write_bytes(b"damaged")
    with pytest.raises(ModelUnreadable, match=file):
        PyTorchRunner.preview(tmp_path, "cpu")
