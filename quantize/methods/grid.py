"""The grid of a group of weights: the values that its stored numbers can mean, and the search for its scale.

A stored number q in 0 ... 2^bits - 1 means scale * (q - zero), so the values lie on an evenly spaced grid. `plain_grid`
is the grid that reaches all weights of the group; `fit` tries scales (and zero points) around it and takes the one with
the lowest error. Knows groups of weights (..., size), not the matrix they come from. Every method takes its scales from
here, and a scale is rounded to float16 before weights are rounded to its grid: the numbers chosen are the best for the
scale that is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

ErrorMeasure = Callable[[Tensor], Tensor]
"""Rounding errors of groups (..., size), which may be overwritten -> one number to minimize per group, (..., 1)."""

FACTORS = tuple((100 - 4 * step) / 100 for step in range(-5, 16))
"""Multiples of the plain scale that `fit` tries, 1.2 to 0.4. Smaller ones clip the few large weights for a finer step;
larger ones let the outermost weight meet a stored number. At 4 bits half the spacing gains less than 1 %."""

SHIFTS = (-1, 0, 1)
"""What `fit` adds to the zero of an asymmetric grid, so that one end can be clipped more than the other: 6 % of the
error of int4-g128."""

SMALLEST, LARGEST = 2.0**-24, torch.finfo(torch.float16).max
"""Scales that float16 can hold: anything smaller would become zero, anything larger infinite."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    variant: Variant
    scales: Tensor  # (..., 1) float32, each a float16 number; a negative one mirrors the grid
    zeros: Tensor  # (..., 1) float32, each a whole number

    def nearest(self, weights: Tensor) -> Tensor:
        """Weights to the nearest stored numbers, as floats."""
        return (weights / self.scales).add_(self.zeros).round_().clamp_(0, self.variant.top)

    def dequantize(self, values: Tensor) -> Tensor:
        """Stored numbers to the weights that they mean."""
        return (values - self.zeros) * self.scales

    def error(self, weights: Tensor) -> Tensor:
        """Weights minus what is stored of them. In place: a search asks for this more than for anything else."""
        stored = self.nearest(weights).sub_(self.zeros).mul_(self.scales)
        return torch.sub(weights, stored, out=stored)

    def where(self, better: Tensor, other: Grid) -> Grid:
        """This grid where `better`, and the other elsewhere."""
        return Grid(
            self.variant,
            torch.where(better, self.scales, other.scales),
            torch.where(better, self.zeros, other.zeros),
        )

    def quantize(self, weights: Tensor) -> QuantizedWeight:
        """Weights (n, groups, size) on this grid, whose scales are (n, groups, 1)."""
        values = self.nearest(weights).to(torch.uint8).flatten(1)
        return QuantizedWeight(
            self.variant, values, self.scales.squeeze(-1).half(), self.zeros.squeeze(-1).to(torch.uint8)
        )


def plain_grid(groups: Tensor, variant: Variant) -> Grid:
    """The smallest scale that leaves no weight further than half a step from a stored number.

    A symmetric grid has one more step below zero than above. A negative scale mirrors it for groups whose largest
    weight is positive, so that the extra step is always where it is needed. Measured on heavy-tailed weights and with
    the search of `fit`, this lowers the error of int4-g128 by 8 % and of int4-g32 by 12 % against positive scales.
    """
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    top, middle = variant.top, variant.middle
    if not variant.symmetric:
        scales = round_to_float16((high - low) / top)
        return Grid(variant, scales, (-low / scales).round().clamp(0, top))
    longer, shorter = torch.maximum(high, -low), torch.minimum(high, -low)
    scales = round_to_float16(torch.maximum(longer / (middle + 0.5), shorter / (top - middle + 0.5)))
    return Grid(variant, torch.where(high > -low, -scales, scales), torch.full_like(scales, middle))


def fit(groups: Tensor, variant: Variant, cost: ErrorMeasure | None) -> Grid:
    """The cheapest of the plain grid and its relatives, for every group by itself; without a cost, the plain grid."""
    start = plain_grid(groups, variant)
    if cost is None:
        return start
    best, lowest = start, cost(start.error(groups))
    for factor, shift in product(FACTORS, (0,) if variant.symmetric else SHIFTS):
        grid = Grid(variant, round_to_float16(start.scales * factor), (start.zeros + shift).clamp(0, variant.top))
        loss = cost(grid.error(groups))
        best, lowest = grid.where(loss < lowest, best), torch.minimum(loss, lowest)
    return best


def round_to_float16(scales: Tensor) -> Tensor:
    """The nearest scales that float16 holds. A group without any weight but zero has the scale 1."""
    sizes = scales.abs().where(scales != 0, 1.0).clamp(SMALLEST, LARGEST).half().float()
    return sizes.copysign(scales)


def squared_errors(importance: Tensor | None = None) -> ErrorMeasure:
    """The squared error, each weight's times its importance (groups, size)."""
    if importance is None:
        return lambda errors: errors.square_().sum(-1, keepdim=True)
    return lambda errors: errors.square_().mul_(importance).sum(-1, keepdim=True)
