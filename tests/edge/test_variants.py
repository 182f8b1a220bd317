"""From a checkpoint to a variant that is whole, and what stands in the way said by name."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import weakref
from dataclasses import replace
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
from edge.engine.sampling import Sampling
from edge.errors import ModelUnreadable, WrongArchitecture
from edge.hub import POCKET
from edge.models.architecture import parse_config
from edge.models.qwen2_vl.model import Qwen2VL
from quantize import calibrate
from quantize.checkpoint import Checkpoint
from quantize.errors import (
    AdapterNotMerged,
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
from quantize.manifest import Manifest, hash_files
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


def test_a_tied_head_that_is_stored_by_itself_is_shown_and_takes_no_memory(tiny: Path, tmp_path: Path) -> None:
    def tie(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].half()

    once, twice = inspect_folder(tiny), inspect_folder(with_weights(tiny, tmp_path / "tied", tie))
    (second,) = {*twice.rows} - {*once.rows}
    assert (second.part, second.stored, second.bits_per_weight) == ("embedding and head", "float16", 16)
    assert twice.weights == once.weights


def test_a_method_given_by_its_path_is_treated_as_by_its_name(tiny: Path, tmp_path: Path) -> None:
    by_name, by_path = (
        make(tiny, tmp_path / str(n), method=method, preset="official")
        for n, method in enumerate(("awq", "quantize.methods.awq:awq"))
    )
    assert by_path.calibration == by_name.calibration is not None
    assert by_path.layers == by_name.layers and by_path.errors == by_name.errors


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


def test_a_run_stopped_while_it_writes_goes_on_with_what_was_calibrated(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(tiny, tmp_path / "whole", method="awq")
    written = []

    def stopped(done: int, total: int, what: str) -> None:
        if (tmp_path / "out.partial" / "model.safetensors").exists():
            written.append(what)
        if len(written) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_model(tiny, "tiny", tmp_path / "out", QuantizeOptions(method="awq", samples=3), "cpu", stopped)
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial" / "manifest.json").exists()
    monkeypatch.setattr(calibrate, "quantize_block", lambda *_: pytest.fail("a finished block was calibrated again"))
    assert make(tiny, tmp_path / "out", method="awq").files == whole.files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_a_run_that_goes_on_with_another_number_type_begins_anew(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(done: int, total: int, what: str) -> None:
        if what.startswith("model.layers"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_model(tiny, "tiny", tmp_path / "out", QuantizeOptions(method="gptq", samples=3), "cpu", stopped)
    settings = json.loads((tmp_path / "out.calibration" / "settings.json").read_text())
    assert (settings["device"], settings["dtype"]) == ("cpu", "torch.float32")
    monkeypatch.setattr("edge.calibration.block_runners.choose_dtype", lambda *_: torch.bfloat16)
    whole = make(tiny, tmp_path / "whole", method="gptq")
    assert make(tiny, tmp_path / "out", method="gptq").files == whole.files


def test_what_an_interrupted_export_left_does_not_get_into_the_next(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "model-00002-of-00002.safetensors").write_bytes(b"old")
    make(tiny, tmp_path / "out", method="rtn")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {p.name for p in tiny.iterdir()} | {"manifest.json"}


def test_a_weight_file_that_nothing_is_read_from_is_told(variant: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(variant, tmp_path / "out")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"old")
    (problem,) = verify_folder(folder, quietly)
    assert problem.startswith("model-00002-of-00002.safetensors is a weight file that no tensor is read from")


def test_verifying_reads_each_tensor_once_and_holds_one_at_a_time(
    variant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it builds no model, whose parameters would all be read and stay."""
    read, held = [], []
    original = Checkpoint.tensor

    def watched(self: Checkpoint, name: str) -> torch.Tensor:
        assert not any(reference() is not None for reference in held), f"{read[-1]} is still held"
        tensor = original(self, name)
        read.append(name)
        held.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(Checkpoint, "tensor", watched)
    assert verify_folder(variant, quietly) == []
    stored = Checkpoint(variant).stored
    assert sorted(read) == sorted(name for name, tensor in stored.items() if tensor.dtype.is_floating_point)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda weights: weights.pop("model.norm.weight"), r"tensor model\.norm\.weight is missing"),
        (
            lambda weights: weights.update({"model.norm.weight": torch.ones(3)}),
            r"tensor model\.norm\.weight is float32 \(3,\), not float32 \(256,\)",
        ),
        (
            lambda weights: weights["model.layers.0.mlp.up_proj.scales"].fill_(float("nan")),
            r"model\.layers\.0\.mlp\.up_proj\.scales holds 1536 numbers that are not finite",
        ),
    ],
    ids=["missing", "shape", "not finite"],
)
def test_files_that_are_as_written_but_hold_something_else_are_told(
    change: Any, says: str, variant: Path, tmp_path: Path
) -> None:
    folder = with_weights(variant, tmp_path / "out", change)
    replace(Manifest.read(folder), files=hash_files(folder)).write(folder)
    (problem,) = verify_folder(folder, quietly)
    assert re.search(says, problem), problem


@pytest.mark.parametrize("format", ["gptq", "awq"])
def test_a_folder_that_says_in_a_file_of_its_own_how_it_is_quantized_answers_the_same(
    format: str, tiny: Path, tmp_path: Path
) -> None:
    folder, name = tmp_path / "out", {"gptq": "quantize_config.json", "awq": "quant_config.json"}[format]
    make(tiny, folder, method="hqq", preset="official", formats=(format,))
    expected = inspect_folder(folder).rows, answer(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / name).write_text(json.dumps(config.pop("quantization_config")))
    (folder / "config.json").write_text(json.dumps(config))
    assert (inspect_folder(folder).rows, answer(folder)) == expected


def answer(folder: Path) -> str:
    messages = [{"role": "user", "content": "Describe the video."}]
    return "".join(edge.load(str(folder), device="cpu").chat(messages, sampling=Sampling(max_tokens=6)))


def test_an_adapter_that_is_not_merged_is_named_wherever_a_model_is_read(tiny: Path, tmp_path: Path) -> None:
    def prefix(weights: dict[str, torch.Tensor]) -> None:
        for name in list(weights):
            weights[f"base_model.model.{name}"] = weights.pop(name)

    source = with_weights(tiny, tmp_path / "source", prefix)
    with pytest.raises(AdapterNotMerged, match="merge_and_unload"):
        make(source, tmp_path / "out", method="rtn")
    with pytest.raises(ModelUnreadable, match="merge_and_unload"):
        edge.load(str(source), device="cpu")


@pytest.mark.parametrize(
    "words",
    [
        ("quantize", "ADAPTER", "OUT"), ("compare", "ADAPTER", "pocket"), ("compare", "pocket", "ADAPTER"),
        ("profile", "--model", "ADAPTER"), ("describe", "picture.png", "--model", "ADAPTER"), ("inspect", "ADAPTER"),
    ],
)  # fmt: skip
def test_an_adapter_alone_is_named_with_the_lines_that_merge_it(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "lora" / "adapter_model.safetensors").write_bytes(b"")
    places = {"ADAPTER": str(tmp_path / "lora"), "OUT": str(tmp_path / "out")}
    result = CliRunner().invoke(app, [places.get(word, word) for word in words])
    assert isinstance(result.exception, ModelUnreadable)
    said = str(result.exception)
    assert "holds adapter_config.json and no model" in said and "AutoProcessor.from_pretrained(BASE)" in said
    code = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    compile("\n".join(code), "the lines", "exec")


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["awq", "gptq"])
def test_calibration_on_a_gpu_gives_errors_like_those_of_the_cpu(method: str, tiny: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    options = QuantizeOptions(method=method, samples=3)
    manifest = quantize_model(tiny, "tiny", tmp_path / "out", options, "cuda", quietly)[tmp_path / "out"]
    assert verify_folder(tmp_path / "out", quietly) == []
    there = make(tiny, tmp_path / "cpu", method=method).errors
    assert all(error == pytest.approx(there[name], rel=0.5) for name, error in manifest.errors.items())


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
        ({"method": "quantize.methods.gptq:gptg"}, BadPlan, "rtn, hqq, awq, gptq.*has no attribute 'gptg'"),
        ({"method": "quantize.methods:METHODS"}, BadPlan, "a dict cannot be called"),
        ({"formats": ("quantize.formats.gptq:Gtpq",)}, FormatUnknown, "gptq, awq.*has no attribute 'Gtpq'"),
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
