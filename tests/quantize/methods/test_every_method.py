"""What holds for the quantized of every method."""

from __future__ import annotations

import pkgutil
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.errors import DoesNotDivide
from quantize.methods import METHODS, Method
from quantize.methods.awq import scaled, search_scales
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import BITS, GROUPS, Variant

VARIANTS = st.builds(Variant, st.sampled_from(BITS), st.sampled_from(GROUPS), st.booleans())
every_method = pytest.mark.parametrize("name", METHODS)


def resolve(name: str) -> Method:
    return pkgutil.resolve_name(METHODS[name])


def inputs(width: int, seed: int = 0) -> Statistics:
    x = torch.randn(2 * width, width, generator=torch.Generator().manual_seed(seed))
    x[:, 1:] += x[:, :-1]
    return Statistics(x.T @ x / len(x), x.abs().mean(0), len(x))


def check(quantized: QuantizedWeight, variant: Variant, shape: tuple[int, int]) -> None:
    groups = variant.num_groups(shape[1])
    assert quantized.variant == variant and quantized.shape == shape
    assert (quantized.values.dtype, quantized.scales.dtype, quantized.zeros.dtype) == (
        torch.uint8,
        torch.float16,
        torch.uint8,
    )
    assert quantized.scales.shape == quantized.zeros.shape == (shape[0], groups)
    assert all(part.is_contiguous() for part in (quantized.values, quantized.scales, quantized.zeros))
    assert quantized.values.max() <= variant.top and quantized.zeros.max() <= variant.top
    assert quantized.scales.isfinite().all() and (quantized.scales != 0).all()
    if variant.symmetric:
        assert (quantized.zeros == variant.middle).all()


@every_method
@settings(max_examples=50)
@given(
    variant=VARIANTS, rows=st.integers(1, 4), groups=st.integers(1, 3), seed=st.integers(0, 99), spread=st.booleans()
)
def test_codes_are_well_formed_and_inputs_untouched(
    name: str, variant: Variant, rows: int, groups: int, seed: int, spread: bool
) -> None:
    width = groups * (variant.group or 40)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, width, generator=generator)
    if spread:
        weight *= torch.randn(rows, width, generator=generator).mul(3).exp()
    statistics = inputs(width, seed)
    before = weight.clone(), statistics.hessian.clone(), statistics.magnitude.clone()
    quantized = resolve(name)(weight, variant, statistics)
    check(quantized, variant, (rows, width))
    assert all(map(torch.equal, before, (weight, statistics.hessian, statistics.magnitude)))
    assert quantized.equal(resolve(name)(weight, variant, statistics))


@every_method
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_floating_type_gives_the_codes_of_its_float32(name: str, dtype: torch.dtype) -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    method, statistics = resolve(name), inputs(64)
    quantized = method(weight, Variant(4, 32), statistics)
    assert quantized.equal(method(weight.float(), Variant(4, 32), statistics))


@every_method
@pytest.mark.parametrize("text", ["int4-g32", "int4-g32-asym", "int8-channel", "int8-channel-asym"])
@pytest.mark.parametrize("size", [0.0, 1e-7, 3e-6, 1e4, 1e6])
@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_any_size_stay_within_float16(name: str, text: str, size: float, sign: int) -> None:
    """One row of equal weights, one with as many of either sign, one of one weight among zeros."""
    variant = Variant.parse(text)
    weight = torch.full((3, 64), sign * size)
    weight[1, ::2] *= -1
    weight[2, 1:] = 0
    quantized = resolve(name)(weight, variant, inputs(64))
    check(quantized, variant, (3, 64))
    assert (weight - quantized.dequantize()).abs().max() <= 2 * size


@every_method
@pytest.mark.parametrize("text", ["int4-g32", "int4-g32-asym", "int8-channel", "int8-channel-asym"])
def test_a_matrix_of_zeros_is_zero_with_the_scale_one(name: str, text: str) -> None:
    quantized = resolve(name)(torch.zeros(2, 64), Variant.parse(text), inputs(64))
    assert (quantized.scales == 1).all() and not quantized.dequantize().any()


@every_method
def test_a_width_that_groups_do_not_divide_is_refused(name: str) -> None:
    with pytest.raises(DoesNotDivide, match="72"):
        resolve(name)(torch.ones(2, 72), Variant(4, 32), inputs(72))


@pytest.mark.parametrize("name", ["awq", "gptq"])
def test_missing_statistics_are_an_error_that_names_the_method(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs statistics"):
        resolve(name)(torch.ones(2, 64), Variant(4, 32))


@pytest.mark.parametrize("name", ["rtn", "awq", "gptq"])
def test_statistics_of_another_width_are_an_error_that_says_both(name: str) -> None:
    with pytest.raises(ValueError, match="96 wide, the matrix takes inputs 64 wide"):
        resolve(name)(torch.ones(2, 64), Variant(4, 32), inputs(96))


@pytest.mark.parametrize("text", ["int4-g128", "int4-g32", "int4-g32-asym", "int8-channel"])
def test_knowing_more_of_the_inputs_lowers_the_error_of_the_output(make_layer, text: str) -> None:
    """Plain rounding, rounding that knows the inputs' strength, AWQ that scales them, GPTQ that compensates."""
    weight, statistics, x = make_layer(48, 256)
    variant, output = Variant.parse(text), x @ weight.T

    def error(stored: torch.Tensor) -> float:
        return float((x @ stored.T - output).square().sum() / output.square().sum())

    rtn, awq, gptq = (resolve(name) for name in ("rtn", "awq", "gptq"))
    scales = search_scales([weight], variant, statistics)
    errors = [
        error(rtn(weight, variant).dequantize()),
        error(rtn(weight, variant, statistics).dequantize()),
        error(awq(weight * scales, variant, scaled(statistics, scales)).dequantize() / scales),
        error(gptq(weight, variant, statistics).dequantize()),
    ]
    assert all(more < 0.9 * less for less, more in pairwise(errors)), errors
