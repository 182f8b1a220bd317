"""Random weights of a published shape: a model in every respect but what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import edge
from edge import cli
from edge.cli.terminal import VARIANT_FAILED
from edge.engine.engine import Engine
from edge.errors import ModelNotFound
from edge.models.architecture import parse_config, published_content
from edge.models.qwen2_vl.layout import LAYOUT
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.random import write_random_folder
from quantize.atomic_folder import atomic_folder
from quantize.errors import BadVariant, OutputExists, OutputFailed

# https://huggingface.co/Qwen/Qwen2-VL-2B-Instruct and -7B-Instruct say so of their safetensors files.
PUBLISHED_PARAMETERS = {"2b": 2_208_985_600, "7b": 8_291_375_616}


@pytest.mark.parametrize("shape", PUBLISHED_PARAMETERS)
def test_shapes_have_as_many_parameters_as_published(shape: str) -> None:
    with torch.device("meta"):
        model = Qwen2VL(parse_config(published_content(shape)))

    assert sum(weight.numel() for weight in model.parameters()) == PUBLISHED_PARAMETERS[shape]


@pytest.mark.parametrize(
    ("variant", "stored"),
    [
        ("float32", "float32"),
        ("bfloat16", "bfloat16"),
        ("int4", "int4-g128+int8-channel"),
        ("int4-g32", "int4-g32+int8-channel"),
        ("int8", "int8-channel"),
    ],
)
def test_every_variant_is_stored_as_asked_and_gives_finite_numbers(variant: str, stored: str) -> None:
    engine = edge.random_model("pocket", variant=variant).engine

    assert engine.variant == stored
    assert np.isfinite(_logits(engine)).all()


def test_the_same_seed_gives_the_same_model() -> None:
    first, second = (edge.random_model("pocket", variant="int4").engine for _ in range(2))

    np.testing.assert_array_equal(_logits(first), _logits(second))


def test_a_random_model_has_a_name_that_load_takes() -> None:
    engine = edge.load("random:pocket")

    assert (engine.name, engine.variant) == ("random:pocket", "bfloat16")


def test_an_unknown_shape_is_refused_with_the_shapes_there_are() -> None:
    with pytest.raises(ModelNotFound, match="'3b' is no shape of random weights; there are 2b, 7b, pocket"):
        edge.load("random:3b")


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(BadVariant, match="'int3' is no variant"):
        edge.random_model("pocket", variant="int3")


def test_a_folder_of_random_weights_loads_like_any_other(tmp_path: Path) -> None:
    write_random_folder("pocket", tmp_path / "model")

    model = edge.load(str(tmp_path / "model"))

    assert np.isfinite(_logits(model.engine)).all()
    assert model.chat([{"role": "user", "content": "Hello"}]).usage is not None


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    with pytest.raises(OutputExists, match="is there already"):
        write_random_folder("pocket", tmp_path)


def test_a_stopped_run_leaves_nothing_and_the_next_one_writes_the_folder(tmp_path: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_random_folder("pocket", tmp_path / "model", progress=stop)
    assert list(tmp_path.iterdir()) == []

    write_random_folder("pocket", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_two_runs_do_not_write_the_same_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model"), pytest.raises(OutputFailed, match="Another run is writing"):
        write_random_folder("pocket", tmp_path / "model")


def test_a_folder_that_cannot_be_written_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "model.partial").write_text("in the way")

    with pytest.raises(OutputFailed, match="cannot be written"):
        write_random_folder("pocket", tmp_path / "model")


def test_another_seed_makes_other_weights() -> None:
    one, same, other = (edge.random_model("pocket", variant="float32", seed=seed).engine for seed in (1, 1, 2))

    np.testing.assert_array_equal(_logits(one), _logits(same))
    assert not np.array_equal(_logits(one), _logits(other))


def test_a_folder_can_be_asked_for_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge", "random-model", str(tmp_path / "model"), "--shape", "pocket"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0 and (tmp_path / "model" / "config.json").is_file()

    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == VARIANT_FAILED and "is there already" in capsys.readouterr().err


def _logits(engine: Engine) -> np.ndarray:
    runner = engine.runner
    seen = runner.encode(np.full((2, 56, 56, 3), 100, dtype=np.uint8))
    cache = runner.cache(16)
    return runner.extend(cache, seen, LAYOUT.group_positions(0, 0, 2, 2), rows=4).logits()
