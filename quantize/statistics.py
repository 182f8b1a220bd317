"""What a layer's inputs look like, gathered once and read by the methods that ask for it.

    error of a layer's output = trace(D @ hessian @ D.T)      D: stored minus true weight, (n, k)

so the mean of x xᵀ is all that AWQ's search and GPTQ need; no activations are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    hessian: Tensor  # (k, k) float32: weighted mean of x xᵀ over the rows seen
    magnitude: Tensor  # (k,) float32: weighted mean of |x|
    num_rows: int


class HessianAccumulator:
    """Sums the rows of one layer's input, whatever their number, in the memory of one (k, k) matrix.

    Vision tokens outnumber text tokens by far and look alike, so that an unweighted mean tells a method to keep
    pictures and forget words (VLMQ, arXiv 2508.03351). Each kind is therefore averaged by itself, and the two means
    are mixed half and half; where only one kind was seen, its mean stands alone.
    """

    def __init__(self, width: int) -> None:
        self._products = {kind: torch.zeros(width, width) for kind in (False, True)}
        self._magnitudes = {kind: torch.zeros(width, dtype=torch.float64) for kind in (False, True)}
        self._rows = {False: 0, True: 0}

    def add(self, x: Tensor, vision: Tensor) -> None:
        """Rows (n, k), and which of them are vision tokens (n,) bool."""
        for kind in (False, True):
            rows = x[vision == kind].float()
            self._products[kind].addmm_(rows.T, rows)
            self._magnitudes[kind] += rows.abs().sum(0, dtype=torch.float64)
            self._rows[kind] += len(rows)

    def statistics(self) -> Statistics:
        """Raises ValueError when nothing was seen."""
        seen = [kind for kind, rows in self._rows.items() if rows]
        if not seen:
            raise ValueError("no row has been seen")
        hessian = sum((self._products[kind] / self._rows[kind] for kind in seen), torch.zeros(())) / len(seen)
        magnitude = sum((self._magnitudes[kind] / self._rows[kind] for kind in seen), torch.zeros(())) / len(seen)
        return Statistics(hessian, magnitude.float(), sum(self._rows.values()))
