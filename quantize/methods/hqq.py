"""HQQ (Badri and Shaji 2023, "Half-Quadratic Quantization"): a grid that suits most weights, not the largest.

Needs nothing but the weights. `rtn` minimizes the squares of the errors, this lowers their powers |e|^p with p < 1,
to which a few large errors matter less. Half-quadratic: what an error keeps when it is shrunk towards zero is let go,
the grid is fitted to what remains by least squares, and so on, more strictly each time.

The paper fits the zero, which need not be a whole number there. Where it must be, it stays: a refitted zero is less
than half a step from the old one, and rounds back to it. So the scale is fitted here, and little of the method's gain
is left: on trained and on random weights a layer's output is as good as with `rtn`, give or take 7 %.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quantize.methods.grid import Grid, fit, plain, squares, storable
from quantize.methods.inputs import by_rows
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant

P = 0.7
ROUNDS = 10  # the authors take 20: a little less of what is minimized, a little more error of a layer's output
STRICTNESS, GROWTH = 10.0, 1.01  # the authors' values; here errors are in steps of the grid, whatever the weights' size


def hqq(weight: Tensor, variant: Variant, statistics: Statistics | None = None) -> QuantizedWeight:
    """Half-quadratic quantization; statistics are not looked at. Raises DoesNotDivide."""
    groups = variant.num_groups(weight.shape[1])

    def quantize(rows: Tensor) -> QuantizedWeight:
        grouped = rows.unflatten(1, (groups, -1))
        return _solve(grouped, variant).codes(grouped)

    return by_rows(weight, quantize)


def _solve(groups: Tensor, variant: Variant) -> Grid:
    """The best grid on the way from the plain one, or that of `rtn` where it is better still.

    From the plain one and no further: the best grid of all gives up so many large weights that a layer's output
    suffers, at int4-g128 three times the error of rounding to nearest.
    """
    best, grid = fit(groups, variant, squares()), plain(groups, variant)
    lowest = powers(best.error(groups))
    for turn in range(ROUNDS + 1):
        cost = powers(grid.error(groups))
        best, lowest = grid.where(cost < lowest, best), torch.minimum(cost, lowest)
        grid = _refit(grid, groups, STRICTNESS * GROWTH**turn)
    return best


def _refit(grid: Grid, groups: Tensor, strictness: float) -> Grid:
    """The scale with which the codes chosen on this grid mean the weights best, but for what errors are let keep."""
    values = grid.nearest(groups)
    kept = _shrunk((groups - grid.meaning(values)) / grid.scales, strictness) * grid.scales
    steps = values - grid.zeros
    scales = ((groups - kept) * steps).sum(-1, keepdim=True) / steps.square().sum(-1, keepdim=True)
    refitted = torch.where(scales * grid.scales > 0, scales, grid.scales)  # no step is taken: none to fit
    return Grid(grid.variant, storable(refitted), grid.zeros)


def _shrunk(errors: Tensor, strictness: float) -> Tensor:
    sizes = errors.abs()
    return errors.sign() * (sizes - _power(sizes, P - 1) / strictness).clamp(min=0)


def powers(errors: Tensor) -> Tensor:
    """What is minimized: the sum of |e|^p over each group, (..., size) to (..., 1)."""
    return _power(errors.abs(), P).sum(-1, keepdim=True)


def _power(sizes: Tensor, exponent: float) -> Tensor:
    return (sizes.log() * exponent).exp()  # in a quarter of the time that `pow` takes on a CPU
