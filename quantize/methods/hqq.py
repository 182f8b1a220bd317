"""HQQ (Badri and Shaji 2023, "Half-Quadratic Quantization"): choose the scale that suits most weights, not the largest.

Needs nothing but the weights. Every group of weights is solved by itself:

    w     the weights of the group
    s, z  its scale and zero point: what is searched
    q     its stored numbers, round(w / s) + z, clamped to the range
    e     the rounding errors, w - s * (q - z)

Round to nearest with a search (`rtn`) minimizes sum e². Here it is sum |e|^p with p = 0.7: a few large errors count
less, so the scale may clip a few large weights for a finer step everywhere else. This sum has no closed minimum, so a
second set of errors k is introduced, which should equal e, and one minimizes

    sum |k|^p  +  (beta / 2) * sum (k - e)²

in turns. With s fixed, each k has a closed solution, e shrunk towards zero (step 1). With k and q fixed, what is left
is quadratic in s, ordinary least squares (step 2): half of the problem is quadratic, hence the name.

    1.  k = sign(e) * max(|e| - |e|^(p-1) / beta, 0)            small errors become 0, large ones are nearly kept
    2.  s = sum (w - k) * (q - z)  /  sum (q - z)²              the scale that explains what is not kept as an error
    3.  q is rounded anew, beta grows (k must follow e more closely), and again

The paper solves step 2 for the zero point and leaves the scale. That needs zero points that are not whole numbers; the
file formats here store whole ones, and a better zero point less than half a step away would be rounded back to the old
one. So the scale is what step 2 solves for, and little of the method's gain is left: on trained and on random weights
a layer's output is as good as with `rtn`, give or take 7 %.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quantize.methods import traits
from quantize.methods.grid import Grid, fit, plain_grid, round_to_float16, squared_errors
from quantize.methods.inputs import by_rows
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant

P = 0.7
ROUNDS = 10  # the authors take 20: a little less of what is minimized, a little more error of a layer's output
BETA, BETA_GROWTH = 10.0, 1.01  # the authors' values; errors are measured in steps of the grid, whatever their size


@traits(chooses_zeros=True)
def hqq(weight: Tensor, variant: Variant, statistics: Statistics | None = None) -> QuantizedWeight:
    """Half-quadratic quantization; statistics are not looked at. Raises DoesNotDivide."""
    groups = variant.num_groups(weight.shape[1])

    def quantize(rows: Tensor) -> QuantizedWeight:
        grouped = rows.unflatten(1, (groups, -1))
        return _solve(grouped, variant).quantize(grouped)

    return by_rows(weight, quantize)


def _solve(groups: Tensor, variant: Variant) -> Grid:
    """The best of the grids that the turns pass through, beginning with the plain one, and of the grid of `rtn`.

    Not the best grid of all: that one gives up so many large weights that a layer's output suffers, at int4-g128
    three times the error of rounding to nearest. Ten turns from the plain grid do not get that far.
    """
    best, grid = fit(groups, variant, squared_errors()), plain_grid(groups, variant)
    lowest = powers(best.error(groups))
    for turn in range(ROUNDS + 1):
        cost = powers(grid.error(groups))
        best, lowest = grid.where(cost < lowest, best), torch.minimum(cost, lowest)
        grid = _refit(grid, groups, BETA * BETA_GROWTH**turn)
    return best


def _refit(grid: Grid, groups: Tensor, beta: float) -> Grid:
    """Steps 1 and 2: the scale that fits the numbers chosen on this grid best, but for the errors that are kept."""
    values = grid.nearest(groups)
    kept = _shrink((groups - grid.dequantize(values)) / grid.scales, beta) * grid.scales
    steps = values - grid.zeros
    scales = ((groups - kept) * steps).sum(-1, keepdim=True) / steps.square().sum(-1, keepdim=True)
    refitted = torch.where(scales * grid.scales > 0, scales, grid.scales)  # all q = z, 0 / 0: the scale stays
    return Grid(grid.variant, round_to_float16(refitted), grid.zeros)


def _shrink(errors: Tensor, beta: float) -> Tensor:
    """Step 1, for errors in steps of the grid."""
    sizes = errors.abs()
    return errors.sign() * (sizes - _power(sizes, P - 1) / beta).clamp(min=0)


def powers(errors: Tensor) -> Tensor:
    """What is minimized: the sum of |e|^p over each group, (..., size) to (..., 1)."""
    return _power(errors.abs(), P).sum(-1, keepdim=True)


def _power(sizes: Tensor, exponent: float) -> Tensor:
    return (sizes.log() * exponent).exp()  # in a quarter of the time that `pow` takes on a CPU
