"""AWQ (Lin et al. 2023, arXiv 2306.00978): finer steps for the inputs that matter.

Multiplying column j of a matrix by sⱼ and dividing input j by sⱼ changes nothing until the matrix is rounded; then a
large sⱼ makes the rounding of column j count less. `search_scales` finds s for all matrices that read one input,
`fold_norm` or `fold_linear` divides the input where it is made, and `awq` quantizes the multiplied weights, knowing
the statistics of the divided input, `scaled`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from quantize.methods.grid import ErrorMeasure, fit
from quantize.methods.inputs import by_rows, required
from quantize.methods.rtn import rtn
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant

ALPHAS = tuple(step / 20 for step in range(20))
SAMPLE = 512  # rows of a matrix that a search looks at: rows are many and alike


def awq(
    weight: Tensor, variant: Variant, statistics: Statistics | None = None, *, clip: bool = True
) -> QuantizedWeight:
    """Round to nearest, with the scale of each group chosen by the error that its share of the output then has.

    Args:
        weight: multiplied by the scales already, if there are any.
        statistics: of inputs that are divided by them already.
        clip: try several scales for every group.

    Raises DoesNotDivide, and ValueError without statistics or for those of another width.
    """
    width = weight.shape[1]
    groups = variant.num_groups(width)
    hessian = required(statistics, width, "awq").hessian.to(weight.device)
    cost = _output_error(hessian, groups) if clip else None

    def quantize(rows: Tensor) -> QuantizedWeight:
        grouped = rows.unflatten(1, (groups, -1))
        return fit(grouped, variant, cost).codes(grouped)

    return by_rows(weight, quantize)


def search_scales(weights: Sequence[Tensor], variant: Variant, statistics: Statistics) -> Tensor:
    """The scales (k,) that serve all matrices reading an input best: magnitude ** alpha, for the best alpha.

    Measured is trace(D H Dᵀ), summed over the matrices, each rounded to nearest without any search for its grid:
    with that search, twenty times slower, the errors in the end are 1 to 4 % lower. Alpha 0 is no scaling.

    Raises DoesNotDivide, and ValueError for statistics of another width.
    """
    for weight in weights:
        required(statistics, weight.shape[1], "awq")
    candidates = [_powers(statistics.magnitude, alpha).to(weights[0].device) for alpha in ALPHAS]
    errors = [sum(_error(weight, variant, statistics, scales) for weight in weights) for scales in candidates]
    return candidates[errors.index(min(errors))]


def scaled(statistics: Statistics, scales: Tensor) -> Statistics:
    """The statistics of the inputs divided by scales."""
    scales = scales.to(statistics.hessian.device)
    hessian = statistics.hessian / scales / scales[:, None]
    return Statistics(hessian, statistics.magnitude / scales, statistics.num_rows)


def fold_norm(weight: Tensor, bias: Tensor | None, scales: Tensor) -> tuple[Tensor, Tensor | None]:
    """A norm's weight and bias so that its output is divided by scales."""
    return weight / scales.to(weight), None if bias is None else bias / scales.to(bias)


def fold_linear(weight: Tensor, bias: Tensor | None, scales: Tensor) -> tuple[Tensor, Tensor | None]:
    """A linear layer's weight (k, m) and bias so that its output is divided by scales."""
    return weight / scales.to(weight)[:, None], None if bias is None else bias / scales.to(bias)


def _powers(magnitude: Tensor, alpha: float) -> Tensor:
    """With the middle of their range at 1; a channel that was never anything but zero is as the others on average."""
    logs = magnitude.log()
    seen = logs[magnitude > 0]
    powers = alpha * torch.where(magnitude > 0, logs, seen.mean() if len(seen) else 0.0)
    return (powers - (powers.max() + powers.min()) / 2).exp()


def _error(weight: Tensor, variant: Variant, statistics: Statistics, scales: Tensor) -> float:
    step = -(-len(weight) // SAMPLE)
    multiplied = weight[::step].float() * scales
    rounded = rtn(multiplied, variant, clip=False).dequantize()
    difference = (multiplied - rounded) / scales
    hessian = statistics.hessian.to(weight.device)
    return step * float(((difference @ hessian) * difference).sum())


def _output_error(hessian: Tensor, groups: int) -> ErrorMeasure:
    """e H eᵀ of each group, with the part of H that is its own."""
    size = len(hessian) // groups
    parts = [hessian[start : start + size, start : start + size] for start in range(0, len(hessian), size)]
    own = torch.stack(parts)  # (groups, size, size)
    return lambda errors: ((errors.transpose(0, 1) @ own).transpose(0, 1) * errors).sum(-1, keepdim=True)
