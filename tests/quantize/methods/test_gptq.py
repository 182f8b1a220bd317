"""GPTQ against the textbook, and on statistics that are hard to work with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quantize.errors import NotDefinite, QuantizeError
from quantize.methods.gptq import gptq
from quantize.methods.grid import Grid, fit, squared_errors
from quantize.methods.rtn import rtn
from quantize.statistics import Statistics
from quantize.variant import Variant


def textbook(weight: Tensor, variant: Variant, hessian: Tensor, damping: float, act_order: bool, clip: bool) -> Tensor:
    """Optimal Brain Quantization, column by column: the remaining weights move, the inverse loses a row and column."""
    weight, hessian = weight.double(), hessian.double()
    width = len(hessian)
    size = width // variant.num_groups(width)
    order = hessian.diagonal().argsort(descending=True, stable=True).tolist() if act_order else list(range(width))
    inverse = torch.linalg.inv(hessian + damping * torch.diag(hessian.diagonal()))
    importance = torch.zeros(width, dtype=torch.float64)
    shrinking = inverse.clone()
    for column in order:
        importance[column] = 1 / shrinking[column, column]
        shrinking = without(shrinking, column)
    values, left, grids = torch.zeros_like(weight), weight.clone(), {}
    for column in order:
        group = slice(column // size * size, column // size * size + size)
        if group.start not in grids:
            cost = squared_errors(importance[group]) if clip else None
            grids[group.start] = fit((weight if act_order else left)[:, group], variant, cost)
        grid = Grid(variant, grids[group.start].scales[:, 0], grids[group.start].zeros[:, 0])
        values[:, column] = grid.nearest(left[:, column])
        error = left[:, column] - grid.dequantize(values[:, column])
        left -= torch.outer(error / inverse[column, column], inverse[column])
        inverse = without(inverse, column)
    return values.to(torch.uint8)


def without(inverse: Tensor, column: int) -> Tensor:
    """The inverse of what is left of H once a column is settled."""
    return inverse - torch.outer(inverse[:, column], inverse[column]) / inverse[column, column]


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize(
    "text, width",
    [("int4-g32", 160), ("int4-g64-asym", 128), ("int4-g128", 256), ("int4-channel-asym", 200), ("int8-channel", 200)],
)
def test_the_codes_are_those_of_the_textbook(make_layer, text: str, width: int, act_order: bool, clip: bool) -> None:
    weight, statistics, _ = make_layer(16, width)
    variant = Variant.parse(text)
    found = gptq(weight, variant, statistics, damping=0.05, act_order=act_order, clip=clip)
    expected = textbook(weight, variant, statistics.hessian, 0.05, act_order, clip)
    same = (found.values == expected).all(1)
    assert same.sum() >= 15  # a tie that float32 decides differently changes the rest of its row


@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("text", ["int4-g32", "int8-channel-asym"])
def test_independent_inputs_leave_nothing_to_compensate(make_layer, text: str, act_order: bool) -> None:
    weight, _, _ = make_layer(5, 160)
    strengths = Statistics(torch.diag(torch.arange(1.0, 161.0)), torch.ones(160), 1)
    found = gptq(weight, Variant.parse(text), strengths, act_order=act_order, clip=False)
    assert found.equal(rtn(weight, Variant.parse(text), clip=False))


def test_the_order_of_turns_is_that_of_the_inputs_not_of_the_columns(make_layer) -> None:
    weight, statistics, _ = make_layer(8, 160)
    shuffle = torch.randperm(160, generator=torch.Generator().manual_seed(0))
    shuffled = Statistics(statistics.hessian[shuffle][:, shuffle], statistics.magnitude[shuffle], 1)
    found = gptq(weight, Variant(4, None), statistics)
    assert torch.equal(found.values[:, shuffle], gptq(weight[:, shuffle], Variant(4, None), shuffled).values)


@pytest.mark.parametrize("act_order", [True, False])
def test_inputs_that_were_never_there_are_rounded_to_nearest(make_layer, act_order: bool) -> None:
    weight, statistics, _ = make_layer(6, 128)
    dead = torch.arange(128) % 5 == 0
    hessian = statistics.hessian.clone()
    hessian[dead], hessian[:, dead] = 0, 0
    quantized = gptq(
        weight, Variant(8, None), Statistics(hessian, statistics.magnitude, 1), act_order=act_order, clip=False
    )
    rounded = rtn(weight, Variant(8, None), clip=False)
    assert torch.equal(quantized.values[:, dead], rounded.values[:, dead])
    assert not torch.equal(quantized.values[:, ~dead], rounded.values[:, ~dead])


@pytest.mark.parametrize("damping", [0.0, 0.03])
def test_fewer_rows_than_inputs_are_enough(make_layer, damping: float) -> None:
    weight, _, _ = make_layer(6, 128)
    x = torch.ones(1, 128)
    quantized = gptq(weight, Variant(4, 32), Statistics(x.T @ x, x[0], 1), damping=damping)
    rounded = rtn(weight, Variant(4, 32))

    def error(stored: Tensor) -> Tensor:
        return (stored - weight).sum(1).square().sum()

    assert error(quantized.dequantize()) < 0.05 * error(rounded.dequantize())


def test_a_silent_input_gives_rounding_to_nearest(make_layer) -> None:
    weight, _, _ = make_layer(4, 64)
    silent = Statistics(torch.zeros(64, 64), torch.zeros(64), 1)
    assert gptq(weight, Variant(4, 32), silent, clip=False).equal(rtn(weight, Variant(4, 32), clip=False))


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), -1.0])
def test_statistics_that_cannot_be_a_mean_are_a_named_error(damage: float) -> None:
    hessian = torch.eye(64)
    hessian[7, 7] = damage
    with pytest.raises(NotDefinite, match=r"64 wide.*gather them again") as caught:
        gptq(torch.ones(2, 64), Variant(4, 32), Statistics(hessian, torch.ones(64), 1))
    assert isinstance(caught.value, QuantizeError) and caught.value.code == "STATISTICS_NOT_DEFINITE"


def test_few_very_strong_inputs_do_not_drown_the_others(make_layer) -> None:
    """Damping by a share of the mean would leave the weak inputs as good as uncorrelated."""
    weight, statistics, _ = make_layer(32, 128)
    strong = torch.arange(128) % 32 == 0
    hessian = statistics.hessian.clone()
    hessian[strong], hessian[:, strong] = 0, 0
    weak = hessian.clone()
    hessian[strong, strong] = 1e6 * statistics.hessian.diagonal().max()
    found = gptq(weight, Variant(8, None), Statistics(hessian, statistics.magnitude, 1), clip=False)

    def error(stored: Tensor) -> Tensor:
        difference = stored - weight
        return ((difference @ weak) * difference).sum()

    assert error(found.dequantize()) < 0.5 * error(rtn(weight, Variant(8, None), clip=False).dequantize())
