"""What calibration remembers of the inputs of a layer, and how it is summed up.

For a linear layer with inputs x (k numbers), let H = mean of x xᵀ, a (k, k) matrix. If rounding changes the weight by
D (n, k), the mean squared error of the layer's output is trace(D H Dᵀ). So H is all that GPTQ and AWQ's search need,
and no activations are kept. (The GPTQ paper's Hessian is 2 H; the factor changes no decision.)

Everything stays on the device where the inputs are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VisionMask = NDArray[np.bool_]
"""Which tokens of a prompt come from pictures, (n,). An array, so that choosing rows never waits for a device."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    hessian: Tensor  # (k, k) float32: weighted mean of x xᵀ over the rows seen
    magnitude: Tensor  # (k,) float32: weighted mean of |x|
    num_rows: int


class HessianAccumulator:
    """Sums the rows of one layer's input, whatever their number, in the memory of two (k, k) matrices.

    Vision tokens outnumber text tokens by far and look alike, so that a plain mean tells a method to keep pictures and
    forget words (VLMQ, arXiv 2508.03351). The two kinds are therefore averaged apart, and the mean of the two means is
    taken; where only one kind was seen, its mean stands alone.
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self._sums = {is_vision: _Sums(width, torch.device(device)) for is_vision in (False, True)}

    def add(self, x: Tensor, vision: VisionMask) -> None:
        """Rows (n, k) on the accumulator's device, and which of them are vision tokens."""
        for is_vision, sums in self._sums.items():
            chosen = np.flatnonzero(vision == is_vision)
            if len(chosen) == len(x):
                sums.add(x.float())
            elif len(chosen):
                sums.add(x.index_select(0, torch.from_numpy(chosen).to(x.device)).float())

    def statistics(self) -> Statistics:
        """Raises ValueError when nothing was seen."""
        seen = [sums for sums in self._sums.values() if sums.num_rows]
        if not seen:
            raise ValueError("no row has been seen")
        hessian = _mean([sums.products / sums.num_rows for sums in seen])
        magnitude = _mean([sums.magnitudes / sums.num_rows for sums in seen])
        return Statistics(hessian, magnitude.float(), sum(sums.num_rows for sums in seen))


class _Sums:
    """Of all rows of one kind."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.products = torch.zeros(width, width, device=device)  # of x xᵀ
        self.magnitudes = torch.zeros(width, dtype=torch.float64, device=device)  # of |x|
        self.num_rows = 0

    def add(self, rows: Tensor) -> None:
        self.products.addmm_(rows.T, rows)
        self.magnitudes += rows.abs().sum(0, dtype=torch.float64)
        self.num_rows += len(rows)


def _mean(tensors: list[Tensor]) -> Tensor:
    """Of one tensor or two, without a third in memory."""
    first, *others = tensors
    for other in others:
        first = first.add_(other)
    return first.div_(len(tensors))
