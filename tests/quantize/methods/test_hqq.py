"""HQQ gives up a few large errors for many small ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quantize.methods.hqq import hqq, powers
from quantize.methods.rtn import rtn
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import BITS, GROUPS, Variant

VARIANTS = st.builds(Variant, st.sampled_from(BITS), st.sampled_from(GROUPS), st.booleans())


def cost(weight: Tensor, quantized: QuantizedWeight) -> Tensor:
    return powers((weight - quantized.dequantize()).unflatten(1, (quantized.scales.shape[1], -1)))


@given(
    variant=VARIANTS,
    seed=st.integers(0, 999),
    size=st.sampled_from([1e-3, 1.0, 100.0]),
    tail=st.sampled_from([0.0, 1.0]),
)
def test_no_group_is_worse_than_rounded_to_nearest(variant: Variant, seed: int, size: float, tail: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = size * torch.randn(3, 128, generator=generator) * torch.randn(3, 128, generator=generator).mul(tail).exp()
    found = cost(weight, hqq(weight, variant))
    for clip in (False, True):
        assert (found <= cost(weight, rtn(weight, variant, clip=clip)) * (1 + 1e-5)).all()


@pytest.mark.parametrize("text", ["int4-g128", "int4-g32", "int4-g32-asym"])
def test_heavy_tailed_weights_gain(make_layer, text: str) -> None:
    weight, _, _ = make_layer(64, 256)
    variant = Variant.parse(text)
    assert cost(weight, hqq(weight, variant)).sum() < 0.995 * cost(weight, rtn(weight, variant)).sum()


@pytest.mark.parametrize("text", ["int4-g128", "int4-g32", "int4-g32-asym", "int8-channel"])
def test_the_large_weights_are_not_given_up_altogether(make_layer, text: str) -> None:
    """The lowest sum of powers clips so much that the output is several times worse."""
    weight, _, x = make_layer(64, 256)
    variant = Variant.parse(text)

    def error(quantized: QuantizedWeight) -> Tensor:
        return (x @ (quantized.dequantize() - weight).T).square().sum()

    assert error(hqq(weight, variant)) < 1.1 * error(rtn(weight, variant))


def test_groups_with_a_negative_scale_are_fitted_just_as_well(make_layer) -> None:
    weight, _, _ = make_layer(16, 128)
    quantized, mirrored = hqq(weight, Variant(4, 32)), hqq(-weight, Variant(4, 32))
    assert torch.equal(quantized.values, mirrored.values) and torch.equal(quantized.scales, -mirrored.scales)


def test_the_size_of_the_weights_changes_nothing_but_the_scales(make_layer) -> None:
    weight, _, _ = make_layer(8, 128)
    once, larger = (hqq(weight * factor, Variant(4, 32, symmetric=False)) for factor in (1, 64))
    assert torch.equal(once.values, larger.values) and torch.equal(once.zeros, larger.zeros)
    assert torch.equal(once.scales * 64, larger.scales)


def test_statistics_are_not_looked_at(make_layer) -> None:
    weight, statistics, _ = make_layer(4, 64)
    assert hqq(weight, Variant(4, 32), statistics).equal(hqq(weight, Variant(4, 32)))
