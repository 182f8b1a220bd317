"""What methods share before they begin: checking their statistics, and taking the rows of a matrix a few at a time.

Knows no method.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics

NUMBERS_AT_A_TIME = 1 << 17  # so that what is worked on stays in the cache of a CPU


def required(statistics: Statistics | None, width: int, method: str) -> Statistics:
    """Raises ValueError when there are none, or when they are those of another layer."""
    if statistics is None:
        raise ValueError(f"{method} needs statistics of the layer's inputs; gather them, or choose rtn or hqq.")
    if statistics.hessian.shape != (width, width):
        raise ValueError(
            f"the statistics are of inputs {statistics.hessian.shape[-1]} wide, the matrix takes inputs {width} wide; "
            "give each layer its own."
        )
    return statistics


def by_rows(weight: Tensor, quantize: Callable[[Tensor], QuantizedWeight], rows: int | None = None) -> QuantizedWeight:
    """Quantizes a matrix a few rows at a time, so that only these are in memory as float32. For methods in which no row
    depends on another."""
    rows = rows or max(1, NUMBERS_AT_A_TIME // weight.shape[1])
    parts = [quantize(part.float()) for part in weight.split(rows)]
    return QuantizedWeight(
        parts[0].variant,
        torch.cat([part.values for part in parts]),
        torch.cat([part.scales for part in parts]),
        torch.cat([part.zeros for part in parts]),
    )
