"""Round to nearest, with the scale of each group chosen by trying: the method that needs nothing but the weights."""

from __future__ import annotations

from torch import Tensor

from quantize.methods.grid import ErrorMeasure, fit, squared_errors
from quantize.methods.inputs import by_rows, required
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant


def rtn(
    weight: Tensor, variant: Variant, statistics: Statistics | None = None, *, clip: bool = True
) -> QuantizedWeight:
    """Round to nearest.

    Args:
        statistics: where given, squared errors are weighted with the mean square of their input.
        clip: try several scales for every group; without it, no weight is further than half a step from its own.

    Raises DoesNotDivide, and ValueError for statistics of another width.
    """
    width = weight.shape[1]
    groups = variant.num_groups(width)
    importance = None
    if statistics is not None:
        diagonal = required(statistics, width, "rtn").hessian.diagonal()
        importance = diagonal.to(weight.device).unflatten(0, (groups, -1))
    return round_to_nearest(weight, variant, squared_errors(importance) if clip else None)


def round_to_nearest(weight: Tensor, variant: Variant, cost: ErrorMeasure | None) -> QuantizedWeight:
    """Every group on the grid with the lowest cost; without one, on the grid that reaches all its weights."""
    groups = variant.num_groups(weight.shape[1])

    def quantize(rows: Tensor) -> QuantizedWeight:
        grouped = rows.unflatten(1, (groups, -1))
        return fit(grouped, variant, cost).quantize(grouped)

    return by_rows(weight, quantize)
