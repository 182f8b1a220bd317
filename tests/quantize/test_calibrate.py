"""Block by block: what folding and stopping must not change."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from quantize.calibrate import BlockResult, _fold, calibrate, gather
from quantize.calibration_store import CalibrationStore
from quantize.errors import CheckpointUnreadable, OutputFailed
from quantize.methods.gptq import gptq
from quantize.methods.rtn import rtn
from quantize.output import writing
from quantize.plan import make_plan
from quantize.statistics import VisionMask
from quantize.structure import LANGUAGE_INPUTS, BlockSpec
from quantize.variant import Variant

WIDTH, INNER, BLOCKS = 64, 128, 3
PLAN = make_plan("official", Variant(4, 32), tied=True)


class Layer(nn.Module):
    """A language model's layer as far as its linear layers are concerned."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.self_attn, self.mlp = nn.Module(), nn.Module()
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            self.self_attn.add_module(name, nn.Linear(WIDTH, WIDTH))
        self.mlp.gate_proj, self.mlp.up_proj = nn.Linear(WIDTH, INNER), nn.Linear(WIDTH, INNER)
        self.mlp.down_proj = nn.Linear(INNER, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h = self.input_layernorm(x)
        q, k, v = (self.self_attn.get_submodule(f"{name}_proj")(h) for name in "qkv")
        x = x + self.self_attn.get_submodule("o_proj")(torch.tanh(q * k) * v)
        h = self.post_attention_layernorm(x)
        return x + self.mlp.down_proj(nn.functional.silu(self.mlp.gate_proj(h)) * self.mlp.up_proj(h))


class ToyRunner:
    def __init__(self, index: int) -> None:
        self.block = BlockSpec(f"model.layers.{index}", LANGUAGE_INPUTS)
        self.index = index

    def load(self) -> nn.Module:
        torch.manual_seed(self.index)
        return Layer().requires_grad_(False)

    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        out: Tensor = module(x)
        return out

    def vision(self, sample: int) -> VisionMask:
        return np.arange(10) < 6


def samples() -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    strength = torch.linspace(0.1, 4, WIDTH)
    return [strength * torch.randn(1, 10, WIDTH, generator=generator) for _ in range(4)]


def run(folder: Path, *, stop_at: int | None = None, fold: bool = False, settings: str = "one") -> CalibrationStore:
    store = CalibrationStore(folder, {"settings": settings})

    def progress(done: int, total: int, name: str) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    calibrate([ToyRunner(i) for i in range(BLOCKS)], samples(), PLAN, gptq, store, fold=fold, progress=progress)
    return store


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(stop_at: int, tmp_path: Path) -> None:
    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", stop_at=stop_at)
    run(tmp_path / "stopped")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_finished_blocks_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    monkeypatch.setattr(ToyRunner, "load", lambda self: pytest.fail("a finished block was loaded"))
    run(tmp_path)


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    run(tmp_path, settings="one")
    before = (tmp_path / "settings.json").read_text()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, settings="two", stop_at=0)
    assert before not in (tmp_path / "settings.json").read_text()
    assert list(tmp_path.glob("*.safetensors")) == []


@pytest.mark.parametrize("name", ["activations", "model.layers.0"])
def test_a_damaged_file_is_named_and_so_is_the_way_out(name: str, tmp_path: Path) -> None:
    store = run(tmp_path)
    (tmp_path / f"{name}.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointUnreadable, match=rf"{name}\.safetensors is not .* Remove .* begins anew"):
        run(tmp_path)
        store.changed()


def test_a_disk_that_takes_no_block_is_an_error_with_a_reason(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path, {})
    (tmp_path / "model.layers.0.safetensors.partial").mkdir()  # what save_file meets is the library's own error
    with pytest.raises(
        OutputFailed, match=r"model\.layers\.0\.safetensors\.partial cannot be written: .*Is a directory"
    ):
        store.save(ToyRunner(0).block, BlockResult(), 1, [])


def test_a_full_disk_asks_for_space_whoever_noticed_it(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="Free some space"), writing(tmp_path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")


def test_settings_are_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def half(path: Path, text: str) -> int:
        write(path, text[: len(text) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OutputFailed):
        CalibrationStore(tmp_path, {"settings": "one"})
    assert not (tmp_path / "settings.json").exists()


def test_every_planned_layer_is_stored_with_its_error(tmp_path: Path) -> None:
    store = run(tmp_path)
    assert set(store.layers) == {name for i in range(BLOCKS) for name in ToyRunner(i).block.layer_names()}
    assert all(0 < error < 0.05 for _, _, error in store.layers.values())
    assert store.load("model.layers.1.mlp.down_proj").shape == (WIDTH, INNER)
    assert store.changed() == {}


def test_a_block_is_watched_behind_the_quantized_ones(tmp_path: Path) -> None:
    """The same second block gets other numbers when the first one was quantized more coarsely."""
    run(tmp_path / "a")
    coarse = make_plan("official", Variant(4, 32), tied=True, overrides=[r"model\.layers\.0\..*=int4-channel"])
    store = CalibrationStore(tmp_path / "b", {})
    calibrate([ToyRunner(i) for i in range(2)], samples(), coarse, gptq, store)
    first, second = (content(tmp_path / name)["model.layers.1.safetensors"] for name in "ab")
    assert first != second


def test_folding_leaves_the_unquantized_block_as_it_was() -> None:
    runner = ToyRunner(0)
    module, folded = runner.load().double(), runner.load().double()
    xs = [x.double() for x in samples()]
    result = BlockResult()
    statistics = gather(runner, folded, LANGUAGE_INPUTS, xs)
    for shared in LANGUAGE_INPUTS:
        _fold(folded, runner.block.name, shared, PLAN, statistics[shared], result)
    assert not torch.allclose(folded.mlp.down_proj.weight, module.mlp.down_proj.weight)
    for x in xs:
        assert torch.allclose(folded(x), module(x), rtol=1e-6, atol=1e-6)  # the norm is folded in float32


def test_what_folding_changed_is_stored(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path, {})
    calibrate([ToyRunner(0)], samples(), PLAN, rtn, store, fold=True)
    assert set(store.changed()) == {
        f"model.layers.0.{norm}.{leaf}"
        for norm in ("input_layernorm", "post_attention_layernorm")
        for leaf in ("weight", "bias")
    } | {"model.layers.0.mlp.up_proj.bias"}


def test_a_layer_that_stays_as_it_is_reads_unscaled_inputs() -> None:
    runner, result = ToyRunner(0), BlockResult()
    module = runner.load()
    plan = make_plan("official", Variant(4, 32), tied=True, overrides=[r".*gate_proj=keep"])
    shared = next(shared for shared in LANGUAGE_INPUTS if "mlp.gate_proj" in shared.layers)
    statistics = gather(runner, module, [shared], samples())[shared]
    assert _fold(module, runner.block.name, shared, plan, statistics, result) is statistics
    assert result.changed == {}
