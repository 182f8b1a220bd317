"""From a checkpoint to a variant that is whole, and what stands in the way said by name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import edge
from edge.cli import app
from edge.cli.terminal import VARIANT_FAILED
from edge.commands.inspect import inspect_folder
from edge.commands.quantize import QuantizeOptions, quantize_model
from edge.commands.verify import verify_folder
from edge.errors import WrongArchitecture
from edge.hub import POCKET
from edge.models.qwen2_vl.config import parse_config
from edge.models.qwen2_vl.model import Qwen2VL
from quantize.errors import (
    AlreadyQuantized,
    BadPlan,
    BadVariant,
    CheckpointUnreadable,
    DoesNotDivide,
    FormatUnknown,
    NotFinite,
    NothingToCalibrate,
    OutputExists,
    OutputFailed,
    QuantizeError,
)  # fmt: skip
from quantize.formats import reader
from quantize.manifest import Manifest
from quantize.quantized_weight import QuantizedWeight
from stream.frame import Group

METHODS = ("rtn", "hqq", "awq", "gptq")


def quietly(done: int, total: int, what: str) -> None: ...


def make(source: Path, out: Path, **options: Any) -> Manifest:
    return quantize_model(source, "tiny", out, QuantizeOptions(**{"samples": 3, **options}), "cpu", quietly)[out]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pocket cut to one layer of each kind, with random weights."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    shutil.copytree(POCKET, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": 1, "vision_config": config["vision_config"] | {"depth": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    weights = {name: p.detach() for name, p in Qwen2VL(parse_config(config)).named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def variant(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("variant") / "int4"
    make(tiny, out, method="rtn")
    return out


def with_weights(tiny: Path, folder: Path, change: Any) -> Path:
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("preset", ["official", "edge", "int8"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_every_preset_and_the_engine_answers(
    method: str, preset: str, tiny: Path, tmp_path: Path
) -> None:
    manifest = make(tiny, tmp_path / "out", method=method, preset=preset)
    assert verify_folder(tmp_path / "out", quietly) == []
    assert manifest.errors.keys() == manifest.layers.keys()
    assert (manifest.calibration is not None) == (method in ("awq", "gptq"))
    context = edge.load(str(tmp_path / "out"), device="cpu").open(2)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    context.append(Group(0, pixels, (0.0, 0.5), 0.0, "synthetic", 2, pixels[0]))
    assert "".join(context.answer("Describe the video.", max_tokens=4))


@pytest.mark.parametrize("format, asymmetric", [("gptq", False), ("awq", True), ("compressed-tensors", False)])
def test_every_format_is_written_whole(format: str, asymmetric: bool, tiny: Path, tmp_path: Path) -> None:
    make(tiny, tmp_path / "out", method="hqq" if asymmetric else "rtn", preset="official", formats=(format,))
    assert verify_folder(tmp_path / "out", quietly) == []
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in tiny.iterdir()} | {"manifest.json"}


@pytest.mark.parametrize("method, formats", [("gptq", ("gptq", "compressed-tensors")), ("awq", ("gptq", "awq"))])
def test_one_quantization_feeds_several_formats_with_identical_numbers(
    method: str, formats: tuple[str, ...], tiny: Path, tmp_path: Path
) -> None:
    options = QuantizeOptions(method=method, samples=3, preset="official", formats=formats)
    written = quantize_model(tiny, "tiny", tmp_path / "out", options, "cpu", quietly)
    assert [path.name for path in written] == [f"out-{format}" for format in formats]
    first, second = ({name: stored_weight(path, name) for name in written[path].layers} for path in written)
    assert len(first) == 7
    assert all(first[name].equal(second[name]) for name in first)


def stored_weight(folder: Path, layer: str) -> QuantizedWeight:
    form = reader(json.loads((folder / "config.json").read_text())["quantization_config"])
    weights = load_file(folder / "model.safetensors")
    parts = {suffix: weights[f"{layer}.{suffix}"] for suffix in form.suffixes if f"{layer}.{suffix}" in weights}
    with torch.device("meta"):
        model = Qwen2VL(parse_config(json.loads((POCKET / "config.json").read_text())))
    n, k = {name: p.shape for name, p in model.named_parameters()}[f"{layer}.weight"]
    return form.unpack(parts, (n, k), layer)


def test_the_same_options_give_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    first, second = (make(tiny, tmp_path / name, method="gptq").files for name in ("a", "b"))
    assert first == second


def test_a_calibration_that_was_killed_goes_on_and_ends_with_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    whole = make(tiny, tmp_path / "whole", method="gptq")

    def killed(done: int, total: int, what: str) -> None:
        if what.startswith("model.layers"):
            raise KeyboardInterrupt

    options = QuantizeOptions(method="gptq", samples=3)
    with pytest.raises(KeyboardInterrupt):
        quantize_model(tiny, "tiny", tmp_path / "killed", options, "cpu", killed)
    assert not (tmp_path / "killed").exists()
    assert make(tiny, tmp_path / "killed", method="gptq").files == whole.files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_what_is_stored_is_told(variant: Path) -> None:
    rows = {(row.part, row.stored): row for row in inspect_folder(variant).rows}
    language, vision = rows["language model", "int4-g128"], rows["vision tower", "int8-channel"]
    assert language.num_layers == 7 and 4.1 < language.bits_per_weight < 4.5
    assert vision.num_layers == 6 and 8.0 < vision.bits_per_weight < 8.5
    assert rows["embedding and head", "int8-channel"].num_weights == 512 * 256
    total = sum(path.stat().st_size for path in variant.glob("*.safetensors"))
    assert 0.9 * total < inspect_folder(variant).weights <= total


def test_zeros_that_are_not_the_middle_are_told_though_shapes_do_not_show_them(tiny: Path, tmp_path: Path) -> None:
    make(tiny, tmp_path / "asym", method="rtn", rules=("model.layers.*_proj=int4-g128-asym",))
    stored = {row.stored for row in inspect_folder(tmp_path / "asym").rows}
    assert "int4-g128-asym" in stored and "int4-g128" not in stored


def test_an_unquantized_folder_can_be_looked_at_too(tiny: Path) -> None:
    inspection = inspect_folder(tiny)
    assert {row.stored for row in inspection.rows} == {"float32"}
    assert inspection.manifest is None


def test_the_commands_say_what_they_did(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "p4"
    runner = CliRunner()
    made = runner.invoke(app, ["quantize", str(tiny), str(out), "--method", "rtn", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["made"]["method"] == "rtn"
    assert (tmp_path / "p4-errors.png").stat().st_size > 5_000
    shown = runner.invoke(app, ["inspect", str(out), "--json"])
    assert json.loads(shown.stdout)["weights_bytes"] > 0
    checked = runner.invoke(app, ["verify", str(out), "--json"])
    assert (checked.exit_code, json.loads(checked.stdout)["problems"]) == (0, [])
    (out / "config.json").write_text((out / "config.json").read_text() + " ")
    tampered = runner.invoke(app, ["verify", str(out), "--json"])
    assert tampered.exit_code == VARIANT_FAILED
    assert "config.json has" in json.loads(tampered.stdout)["problems"][0]


@pytest.mark.parametrize(
    "options, error, says",
    [
        ({"preset": "tiny"}, BadPlan, "official, edge, int8"),
        ({"method": "magic"}, BadPlan, "rtn, hqq, awq, gptq"),
        ({"method_options": {"act_order": False}}, BadPlan, "rtn has no order of columns"),
        ({"group": "100"}, BadVariant, "groups of 100"),
        ({"group": "all"}, BadPlan, "groups of 'all'"),
        ({"bits": 3}, BadVariant, "3 bits"),
        ({"formats": ("gguf",)}, FormatUnknown, "gguf"),
        ({"formats": ("awq",), "method": "rtn"}, FormatUnknown, "awq|AWQ"),
        ({"rules": (".*=keep",)}, BadPlan, "nothing to quantize"),
        ({"rules": ("visual.patch",)}, BadPlan, "is no rule"),
        ({"calibrate": Path("/nowhere"), "method": "gptq"}, NothingToCalibrate, "is no folder"),
    ],
)
def test_options_that_cannot_be_met_are_named_and_leave_nothing(
    options: dict[str, Any], error: type[QuantizeError], says: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        make(tiny, tmp_path / "out", **{"method": "rtn", **options})
    assert not (tmp_path / "out").exists()


def test_a_variant_is_not_quantized_again(variant: Path, tmp_path: Path) -> None:
    with pytest.raises(AlreadyQuantized, match="holds a variant already"):
        make(variant, tmp_path / "out")


def test_another_architecture_is_named(tiny: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(WrongArchitecture, match="llama"):
        make(other, tmp_path / "out")


@pytest.mark.parametrize("method", ["rtn", "gptq"])
def test_a_number_that_is_not_finite_is_named_with_its_layer(method: str, tiny: Path, tmp_path: Path) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.0.mlp.up_proj.weight"][3, 5] = float("inf")

    source = with_weights(tiny, tmp_path / "source", spoil)
    with pytest.raises(NotFinite, match=r"model\.layers\.0\.mlp\.up_proj .* inf at \(3, 5\)"):
        make(source, tmp_path / "out", method=method)
    assert not (tmp_path / "out").exists()


def test_a_width_that_groups_do_not_divide_is_named(tiny: Path, tmp_path: Path) -> None:
    def narrow(weights: dict[str, torch.Tensor]) -> None:
        weights["model.layers.0.mlp.down_proj.weight"] = torch.zeros(256, 760)

    source = with_weights(tiny, tmp_path / "source", narrow)
    with pytest.raises(DoesNotDivide, match=r"down_proj is 760 wide"):
        make(source, tmp_path / "out", method="rtn")


def test_a_damaged_source_is_named(tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny, tmp_path / "source")
    with (source / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(CheckpointUnreadable, match=r"model\.safetensors is not a readable"):
        make(source, tmp_path / "out", method="rtn")


def test_a_folder_that_is_there_is_left_alone(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="is there already"):
        make(tiny, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_full_disk_is_told_before_anything_is_quantized(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputFailed, match="Free some space"):
        make(tiny, tmp_path / "out", method="rtn")
    assert not (tmp_path / "out").exists()
