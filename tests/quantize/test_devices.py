"""Everything that quantizes works where its inputs are: shown without a GPU, with tensors that have a device and a
shape but no numbers.

FakeTensorMode runs every operator for its result's shape and device, and raises when tensors of two devices meet. All
operators here are the real ones. Only what depends on numbers is made up by `no_numbers`: the few values that the code
reads back to the CPU.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from edge.calibration import block_runners
from edge.calibration.block_runners import CalibrationSetup, make_block_runners
from edge.calibration.prompts import CalibrationPrompt, PromptBuilder
from edge.engine.tokenizer import Tokenizer
from edge.examples.example import Example
from edge.hub import POCKET
from edge.kernels.reference import Reference
from edge.models.architecture import read_config
from quantize import calibrate
from quantize.calibrate import quantize_block
from quantize.checkpoint import Checkpoint
from quantize.export import weight_error
from quantize.formats import FORMATS, writer
from quantize.methods import METHODS, awq, grid
from quantize.methods.awq import fold_linear, fold_norm, scaled, search_scales
from quantize.plan import make_plan
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import HessianAccumulator, Statistics
from quantize.variant import Variant

N, K = 16, 64
CONFIG = read_config(POCKET)


@pytest.fixture
def device() -> Iterator[torch.device]:
    """A device that is not the CPU. It is "meta": a PyTorch without CUDA cannot even index tensors that only say that
    they are on a CUDA device, and to FakeTensorMode all devices are alike."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("meta")


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate of a search runs the same operators."""
    monkeypatch.setattr(grid, "FACTORS", (0.9, 1.0))
    monkeypatch.setattr(awq, "ALPHAS", (0.0, 0.5))


@pytest.fixture
def no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read back from tensors without numbers: a factorization succeeds, sums are 1, columns are in group 0."""
    monkeypatch.setattr(Tensor, "__bool__", lambda self: True)
    monkeypatch.setattr(Tensor, "__float__", lambda self: 1.0)
    monkeypatch.setattr(FakeTensor, "tolist", lambda self: [0] * len(self))
    monkeypatch.setattr(calibrate, "check_finite", lambda name, weight: None)  # reads numbers, and nothing else


def statistics(device: torch.device) -> Statistics:
    return Statistics(torch.empty(K, K, device=device), torch.empty(K, device=device), 1)


def quantized(device: torch.device, variant: Variant) -> QuantizedWeight:
    scales = torch.empty(N, variant.num_groups(K), dtype=torch.float16, device=device)
    values = torch.empty(N, K, dtype=torch.uint8, device=device)
    return QuantizedWeight(variant, values, scales, torch.empty_like(scales, dtype=torch.uint8))


def is_on(device: torch.device, weight: QuantizedWeight) -> bool:
    return {part.device.type for part in (weight.values, weight.scales, weight.zeros)} == {device.type}


def test_tensors_of_two_devices_do_not_meet_unseen(device: torch.device) -> None:
    """What all other tests here rest on."""
    with pytest.raises(RuntimeError, match=r"meta.*cpu|cpu.*meta"):
        torch.empty(3, device=device) + torch.empty(3)


@pytest.mark.parametrize("vision", [np.zeros(10, dtype=bool), np.ones(10, dtype=bool), np.arange(10) < 4])
def test_statistics_are_summed_where_the_inputs_are(device: torch.device, vision: np.ndarray[Any, Any]) -> None:
    accumulator = HessianAccumulator(K, device)
    for _ in range(2):
        accumulator.add(torch.empty(10, K, dtype=torch.bfloat16, device=device), vision)
    found = accumulator.statistics()
    assert found.hessian.device.type == found.magnitude.device.type == "meta"
    assert (found.hessian.shape, found.magnitude.shape, found.num_rows) == ((K, K), (K,), 20)


@pytest.mark.parametrize("text", ["int4-g32", "int4-g32-asym", "int8-channel"])
@pytest.mark.parametrize("there", ["meta", "cpu"], ids="statistics on {}".format)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("no_numbers")
def test_a_method_works_where_the_weight_is(name: str, there: str, text: str, device: torch.device) -> None:
    weight = torch.empty(N, K, dtype=torch.bfloat16, device=device)
    found = pkgutil.resolve_name(METHODS[name])(weight, Variant.parse(text), statistics(torch.device(there)))
    assert is_on(device, found) and found.shape == (N, K)
    assert weight_error(weight, found) == 1.0


@pytest.mark.usefixtures("no_numbers")
def test_gptq_without_act_order_works_where_the_weight_is(device: torch.device) -> None:
    gptq = pkgutil.resolve_name(METHODS["gptq"])
    assert is_on(device, gptq(torch.empty(N, K, device=device), Variant(4, 32), statistics(device), act_order=False))


@pytest.mark.parametrize("there", ["meta", "cpu"], ids="statistics on {}".format)
def test_awqs_scales_are_searched_and_folded_where_the_weights_are(device: torch.device, there: str) -> None:
    weights, seen = [torch.empty(N, K, device=device) for _ in range(2)], statistics(torch.device(there))
    scales = search_scales(weights, Variant(4, 32), seen)
    assert scales.device.type == "meta" and scales.shape == (K,)
    assert scaled(seen, scales).hessian.device == torch.device(there)
    norm, bias = fold_norm(torch.empty(K, device=device), torch.empty(K, device=device), scales)
    linear, _ = fold_linear(torch.empty(K, 8, device=device), None, scales)
    assert bias is not None and {norm.device.type, bias.device.type, linear.device.type} == {"meta"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_packs_where_the_numbers_are(name: str, device: torch.device) -> None:
    form = writer(name, {"layer": Variant(4, 32, symmetric=False)})
    packed = form.pack(quantized(device, Variant(4, 32, symmetric=False)))
    assert {tensor.device.type for suffix, tensor in packed.items() if suffix != "weight_shape"} == {"meta"}


@pytest.mark.parametrize("text", ["int4-g32", "int8-channel"])
def test_the_reference_kernel_multiplies_where_the_numbers_are(text: str, device: torch.device) -> None:
    kernel = Reference.prepare(quantized(device, Variant.parse(text)), torch.bfloat16)
    x = torch.empty(3, K, dtype=torch.bfloat16, device=device)
    assert kernel.matmul(x).device.type == kernel.rows(torch.empty(2, dtype=torch.long, device=device)).device.type
    assert kernel.matmul(x).shape == (3, N)


@pytest.fixture(scope="module")
def prompt() -> CalibrationPrompt:
    frames = np.random.default_rng(0).integers(0, 256, (2, 2, 112, 140, 3), dtype=np.uint8)
    example = Example.of("video", tuple(frames), "Describe the video.", "A red circle.")
    return PromptBuilder(Tokenizer.load(POCKET), CONFIG).build(example)


@pytest.mark.usefixtures("no_numbers")
def test_a_model_is_calibrated_on_the_device_and_its_activations_wait_on_the_cpu(
    prompt: CalibrationPrompt, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of each kind, from the patches on, with AWQ: watched, folded, quantized and run again."""
    stored = Checkpoint(POCKET).stored

    def read(name: str) -> Tensor:
        return torch.empty(stored[name].shape, dtype=stored[name].dtype)

    # Makes a tensor from a list of numbers, which FakeTensorMode refuses on "meta".
    monkeypatch.setattr(block_runners, "normalize", lambda frames: frames.float())
    setup = CalibrationSetup(CONFIG, [prompt], read, device, torch.bfloat16)
    runners, activations = make_block_runners(setup, list(stored))
    plan = make_plan("edge", tied=True)
    for runner in [runners[0], next(r for r in runners if r.block.name == "visual.merger"), runners[-1]]:
        module = runner.load()
        result = quantize_block(runner, module, activations, plan, awq.awq, fold=True)
        assert result.quantized.keys() == set(runner.block.layer_names())
        assert all(is_on(device, weight) for weight in result.quantized.values())
        assert {tensor.device.type for tensor in result.changed.values()} <= {"cpu"}
        activations = [runner.run(module, 0, x) for x in activations]
        assert [x.device.type for x in activations] == ["cpu"]
