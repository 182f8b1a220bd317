"""AWQ's scales: that folding them changes nothing, and that they help."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantize.methods import awq as module
from quantize.methods.awq import awq, fold_linear, fold_norm, scaled, search_scales
from quantize.methods.rtn import rtn
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import HessianAccumulator, Statistics
from quantize.variant import Variant

VARIANT = Variant(4, 32)


def gathered(x: Tensor) -> Statistics:
    accumulator = HessianAccumulator(x.shape[1])
    accumulator.add(x, np.zeros(len(x), dtype=bool))
    return accumulator.statistics()


class Mlp(nn.Module):
    """norm, then down(silu(gate) * up), as in a language model."""

    def __init__(self, norm: nn.Module, bias: bool) -> None:
        super().__init__()
        self.norm = norm
        self.gate, self.up = nn.Linear(64, 96, bias), nn.Linear(64, 96, bias)
        self.down = nn.Linear(96, 64, bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return self.down(F.silu(self.gate(y)) * self.up(y))


@pytest.mark.parametrize("kind", ["RMSNorm", "LayerNorm"])
@torch.no_grad()
def test_folding_leaves_the_output_as_it_was(make_layer, kind: str) -> None:
    torch.manual_seed(0)
    block = Mlp(getattr(nn, kind)(64), bias=kind == "LayerNorm").double()
    for parameter in block.norm.parameters():
        parameter.normal_()
    _, _, x = make_layer(1, 64)
    x = x.double()
    expected = block(x)

    scales = search_scales([block.gate.weight, block.up.weight], VARIANT, gathered(block.norm(x).float()))
    assert scales.max() > 1.2 * scales.min()
    block.norm.weight.data, bias = fold_norm(block.norm.weight, getattr(block.norm, "bias", None), scales)
    if bias is not None:
        block.norm.bias.data = bias
    for reader in (block.gate, block.up):
        reader.weight *= scales

    y = block.norm(x)
    scales = search_scales([block.down.weight], VARIANT, gathered((F.silu(block.gate(y)) * block.up(y)).float()))
    assert scales.max() > 1.2 * scales.min()
    block.up.weight.data, bias = fold_linear(block.up.weight, block.up.bias, scales)
    if bias is not None:
        block.up.bias.data = bias
    block.down.weight *= scales

    assert (block(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_scaled_statistics_are_those_of_the_divided_inputs(make_layer) -> None:
    _, statistics, x = make_layer(1, 64)
    scales = torch.rand(64, generator=torch.Generator().manual_seed(0)) + 0.5
    found, expected = scaled(statistics, scales), gathered(x / scales)
    torch.testing.assert_close(found.hessian, expected.hessian)
    torch.testing.assert_close(found.magnitude, expected.magnitude)
    assert found.num_rows == expected.num_rows


@pytest.mark.parametrize("seed", range(3))
def test_the_scales_are_the_best_of_the_powers_for_all_matrices_together(make_layer, seed: int) -> None:
    weight, statistics, x = make_layer(40, 64, seed)
    weights = [weight[:24], 3 * weight[24:]]
    found = search_scales(weights, VARIANT, statistics)

    def error(scales: Tensor) -> float:
        rounded = [rtn(weight * scales, VARIANT, clip=False).dequantize() / scales for weight in weights]
        pairs = zip(rounded, weights, strict=True)
        return sum(float((x @ (stored - weight).T).square().sum()) for stored, weight in pairs)

    powers = [statistics.magnitude.pow(step / 20) for step in range(20)]
    errors = [error(power / (power.max() * power.min()).sqrt()) for power in powers]
    assert error(found) == pytest.approx(min(errors), rel=1e-3)
    assert error(found) < 0.95 * errors[0]  # which is no scaling


def test_inputs_never_seen_get_a_scale_like_the_others() -> None:
    x = torch.randn(500, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 64)
    x[:, 5] = 0
    scales = search_scales([torch.ones(2, 64).cumsum(1)], VARIANT, gathered(x))
    assert scales.isfinite().all() and scales.min() < scales[5] < scales.max()
    silent = search_scales([torch.ones(2, 64)], VARIANT, gathered(torch.zeros(5, 64)))
    assert torch.equal(silent, torch.ones(64))


def test_a_matrix_of_many_rows_is_judged_by_a_sample(make_layer, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, statistics, _ = make_layer(32, 64)
    other = make_layer(32, 64, 1)[0]
    expected = search_scales([weight, weight, other], VARIANT, statistics)
    monkeypatch.setattr(module, "SAMPLE", 32)
    twice = torch.stack([weight, torch.full_like(weight, torch.nan)], 1).flatten(0, 1)  # every other row is looked at
    assert torch.equal(search_scales([twice, other], VARIANT, statistics), expected)


def test_the_matrices_must_read_the_input_that_was_watched(make_layer) -> None:
    weight, statistics, _ = make_layer(4, 64)
    with pytest.raises(ValueError, match="64 wide, the matrix takes inputs 32 wide"):
        search_scales([weight, weight[:, :32]], VARIANT, statistics)


@pytest.mark.parametrize("text", ["int4-g32", "int4-g64-asym", "int8-channel"])
def test_the_grid_is_chosen_by_the_error_of_the_output(make_layer, text: str) -> None:
    """Of a group by itself: the others' errors are not known yet."""
    weight, statistics, x = make_layer(24, 128)
    variant = Variant.parse(text)
    groups = variant.num_groups(128)

    def total(quantized: QuantizedWeight) -> float:
        errors = (quantized.dequantize() - weight).unflatten(1, (groups, -1))
        return float(torch.einsum("rgs,ngs->rgn", x.unflatten(1, (groups, -1)), errors).square().sum())

    found = total(awq(weight, variant, statistics))
    assert found < 0.97 * total(rtn(weight, variant, statistics))
    plainly = awq(weight, variant, statistics, clip=False)
    assert found < 0.97 * total(plainly)
    assert plainly.equal(rtn(weight, variant, clip=False))
