"""Round to nearest, with the scale of each group chosen by trying: the method that needs nothing but the weights."""

from __future__ import annotations

from torch import Tensor

from quantize.methods.grid import fit, squared_errors
from quantize.methods.inputs import by_rows, required
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant


def rtn(
    weight: Tensor, variant: Variant, statistics: Statistics | None = None, *, clip: bool = True
) -> QuantizedWeight:
    """Round to nearest.

    Args:
        statistics: where given, errors count as much as their input is strong.
        clip: try several scales for every group; without it, no weight is further than half a step from its own.

    Raises DoesNotDivide, and ValueError for statistics of another width.
    """
    width = weight.shape[1]
    groups = variant.num_groups(width)
    importance = None
    if statistics is not None:
        diagonal = required(statistics, width, "rtn").hessian.diagonal()
        importance = diagonal.to(weight.device).unflatten(0, (groups, -1))
    cost = squared_errors(importance) if clip else None

    def quantize(rows: Tensor) -> QuantizedWeight:
        grouped = rows.unflatten(1, (groups, -1))
        return fit(grouped, variant, cost).quantize(grouped)

    return by_rows(weight, quantize)
