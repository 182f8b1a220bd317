"""Grids of numbers to store, and rounding to them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quantize.methods.grid import SMALLEST, fit, plain_grid, round_to_float16, squared_errors
from quantize.methods.inputs import by_rows
from quantize.methods.rtn import rtn
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import BITS, GROUPS, Variant

VARIANTS = st.builds(Variant, st.sampled_from(BITS), st.sampled_from(GROUPS), st.booleans())


def heavy_tailed(n: int, k: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.02 * torch.randn(n, k, generator=generator) * torch.randn(n, k, generator=generator).exp()


@given(variant=VARIANTS, seed=st.integers(0, 999), offset=st.sampled_from([0.0, 0.3, -0.3]))
def test_without_clipping_no_weight_is_further_than_half_a_step(variant: Variant, seed: int, offset: float) -> None:
    weight = heavy_tailed(3, 128, seed) + offset
    quantized = rtn(weight, variant, clip=False)
    steps = (weight - quantized.dequantize()).unflatten(1, (quantized.scales.shape[1], -1)) / quantized.scales[
        :, :, None
    ].float()
    rounding_of_the_scale = variant.top * 2.0**-11  # float16 holds 11 bits of it
    assert steps.abs().max() <= 0.5 + rounding_of_the_scale


@given(variant=VARIANTS, seed=st.integers(0, 999), clip=st.booleans())
def test_every_code_is_the_nearest_for_the_numbers_that_are_stored(variant: Variant, seed: int, clip: bool) -> None:
    weight = heavy_tailed(2, 128, seed)
    quantized = rtn(weight, variant, clip=clip)
    error = (weight - quantized.dequantize()).abs()
    for step in (-1, 1):
        values = (quantized.values.int() + step).clamp(0, variant.top).to(torch.uint8)
        other = QuantizedWeight(variant, values, quantized.scales, quantized.zeros)
        assert (error <= (weight - other.dequantize()).abs() + 1e-6).all()


@given(variant=VARIANTS, seed=st.integers(0, 999), with_statistics=st.booleans())
def test_zero_stays_exactly_zero(variant: Variant, seed: int, with_statistics: bool) -> None:
    weight = heavy_tailed(2, 128, seed) + 0.05
    weight[:, ::3] = 0
    statistics = Statistics(torch.eye(128), torch.ones(128), 1) if with_statistics else None
    assert not rtn(weight, variant, statistics).dequantize()[:, ::3].any()


def test_the_extra_step_of_a_symmetric_grid_is_on_the_side_of_the_largest_weight() -> None:
    weight = torch.tensor([[8.5] + [0.0] * 30 + [-7.5], [-8.5] + [0.0] * 30 + [7.5]])
    quantized = rtn(weight, Variant(4, 32), clip=False)
    assert quantized.scales.tolist() == [[-1.0], [1.0]]
    assert quantized.dequantize()[:, 0].tolist() == [8.0, -8.0]


def test_an_asymmetric_grid_always_holds_zero() -> None:
    weight = torch.linspace(5.0, 6.0, 32).repeat(2, 1) * torch.tensor([[1.0], [-1.0]])
    quantized = rtn(weight, Variant(4, 32, symmetric=False), clip=False)
    assert quantized.zeros.tolist() == [[0], [15]]
    assert quantized.scales[:, 0].tolist() == pytest.approx([0.4, 0.4], rel=1e-3)


@pytest.mark.parametrize("text", ["int4-g128", "int4-g32", "int4-g128-asym", "int8-channel"])
def test_the_search_lowers_the_error_that_it_is_told_to(text: str) -> None:
    variant, weight = Variant.parse(text), heavy_tailed(16, 256, 3)
    groups = weight.unflatten(1, (variant.num_groups(256), -1))
    importance = torch.rand(groups.shape[1:], generator=torch.Generator().manual_seed(0)).pow(4)
    statistics = Statistics(torch.diag(importance.flatten()), importance.flatten().sqrt(), 1)
    cost = squared_errors(importance)

    def total(quantized: QuantizedWeight) -> float:
        return float(cost((weight - quantized.dequantize()).unflatten(1, groups.shape[1:])).sum())

    plainly, unknowing, knowing = (
        rtn(weight, variant, clip=False),
        rtn(weight, variant),
        rtn(weight, variant, statistics),
    )
    assert total(knowing) < 0.98 * total(unknowing)
    assert total(knowing) < 0.98 * total(plainly)
    assert (cost(fit(groups, variant, cost).error(groups)) <= cost(plain_grid(groups, variant).error(groups))).all()
    assert rtn(weight, variant, statistics, clip=False).equal(plainly)


def test_scales_that_float16_cannot_hold_become_the_nearest_that_it_can() -> None:
    scales = torch.tensor([0.0, 1e-30, -1e-30, 0.1, 1e30, -1e30])
    assert round_to_float16(scales).tolist() == [
        1.0,
        SMALLEST,
        -SMALLEST,
        pytest.approx(0.1, rel=1e-3),
        65504.0,
        -65504.0,
    ]


def test_rows_taken_a_few_at_a_time_are_the_rows_of_the_whole() -> None:
    weight, variant = heavy_tailed(7, 64, 0).half(), Variant(4, 32, symmetric=False)
    whole = rtn(weight, variant)
    assert by_rows(weight, lambda rows: rtn(rows, variant), rows=3).equal(whole)
    assert torch.equal(rtn(weight[2:3], variant).values, whole.values[2:3])
