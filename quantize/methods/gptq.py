"""GPTQ (Frantar et al. 2022, arXiv 2210.17323): round column after column; later columns compensate earlier errors.

For one row w of the weight, stored as q, let e = w - q. The mean squared error of the output is e H eᵀ, with H the mean
of x xᵀ over the inputs. With H = R Rᵀ and R upper triangular (a Cholesky factorization), it is a sum of squares,

    e H eᵀ  =  Σⱼ Rⱼⱼ² · (tⱼ - qⱼ)²      with the target  tⱼ = wⱼ + Σ_{i<j} eᵢ Rᵢⱼ / Rⱼⱼ  and  e = w - q

so each column, from left to right, is best rounded to the stored number nearest to its target: its weight, plus what
compensates the errors so far. In the code, Rᵢⱼ / Rⱼⱼ is `feedback` and Rⱼⱼ² is `importance`. The numbers are those of
GPTQ, in the form of LDLQ (QuIP, arXiv 2307.13304), which takes one Cholesky factorization in place of two and
an inverse, and never changes the weights themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quantize.errors import NotDefinite
from quantize.methods import traits
from quantize.methods.grid import Grid, fit, squared_errors
from quantize.methods.inputs import by_rows, required
from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant

COLUMNS_AT_A_TIME = 128  # columns whose feedback from everything before them is one matrix product
MOST_DAMPING = 1.0


@traits(needs_statistics=True)
def gptq(
    weight: Tensor,
    variant: Variant,
    statistics: Statistics | None = None,
    *,
    damping: float = 0.03,
    act_order: bool = True,
    clip: bool = True,
) -> QuantizedWeight:
    """Round to nearest with compensation.

    Args:
        damping: the share by which each number on the diagonal of H is raised, ten times more for as long as H has no
            Cholesky factorization. The paper raises all of them by a share of their mean, which hides weak inputs
            where a few are very strong, and generalizes worse also where none is.
        act_order: round the columns with the strongest inputs first, while most columns are left to compensate. Scales
            are then fitted to the weights before any column is rounded, and columns are stored in their own order.
            Without it, a group's scale is fitted when its first column comes, to its weights with the compensation
            so far.
        clip: try several scales for every group, not only the one that reaches all its weights.

    Raises DoesNotDivide, NotDefinite, and ValueError without statistics or for those of another width.
    """
    width = weight.shape[1]
    groups = variant.num_groups(width)
    hessian = required(statistics, width, "gptq").hessian.to(weight.device)
    order = torch.arange(width, device=weight.device)
    if act_order:
        order = hessian.diagonal().argsort(descending=True, stable=True)
    factor = _factor(hessian[order][:, order], damping)
    diagonal = factor.diagonal()
    in_turn = groups > 1 and not act_order  # where the group is the whole row, no error comes before its turn
    rounding = _ColumnByColumn(variant, order, factor / diagonal, diagonal.square(), in_turn, clip)
    return by_rows(weight, rounding, rows=4096)


def _factor(hessian: Tensor, damping: float) -> Tensor:
    """R, upper triangular, with R Rᵀ = H (damped). Raises NotDefinite.

    PyTorch factors H = L Lᵀ with L lower triangular. Of H with its rows and columns in reverse order, it is L in
    reverse order that is upper triangular.
    """
    mean = hessian.diagonal().mean()
    while damping <= MOST_DAMPING:
        damped = hessian.flip(0, 1)  # a copy
        diagonal = damped.diagonal()
        # An input that was always zero has no influence here, but may be something tomorrow.
        diagonal.copy_(torch.where(diagonal == 0, damping * (mean or 1.0), diagonal * (1 + damping)))
        lower, failed = torch.linalg.cholesky_ex(damped)
        if (failed == 0) & lower.isfinite().all():
            factor: Tensor = lower.flip(0, 1)
            return factor
        damping = max(10 * damping, 1e-4)
    raise NotDefinite(
        f"the mean of x xᵀ, {len(hessian)} wide with the mean diagonal {mean:.3g}, is not positive definite, whatever "
        "is added to its diagonal. The statistics are damaged or hold numbers that are not finite; gather them again."
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ColumnByColumn:
    """Quantizes rows (m, k), all of them at once, one column after the other."""

    variant: Variant
    order: Tensor  # (k,) the columns in the order in which they are rounded, as are those below
    feedback: Tensor  # (k, k) by how much an error in column i moves the target of column j > i
    importance: Tensor  # (k,) what the squared distance of a column from its target costs
    in_turn: bool  # a group's scale is fitted when its first column comes
    clip: bool

    def __call__(self, rows: Tensor) -> QuantizedWeight:
        width = rows.shape[1]
        size = width // self.variant.num_groups(width)
        step = size if self.in_turn else COLUMNS_AT_A_TIME
        groups = (self.order // size).tolist()
        grids = [] if self.in_turn else self._fit_all(rows, size)  # by group, of those fitted so far

        weights = rows.T[self.order]  # (k, m): a column lies together
        values, errors = torch.zeros_like(weights), torch.zeros_like(weights)
        for start in range(0, width, step):
            block = slice(start, min(start + step, width))
            targets = torch.addmm(weights[block], self.feedback[:start, block].T, errors[:start])
            feedback = self.feedback[block, block].T.contiguous()
            if self.in_turn:
                moved = _expected_targets(weights[block], targets, feedback)
                grids.append(self._fit(moved.T, self.importance[block]))
            for column, target, factors in zip(range(width)[block], targets, feedback, strict=True):
                target.addmv_(errors[start:column].T, factors[: column - start])
                grid = grids[groups[column]]
                values[column] = grid.nearest(target)
                errors[column] = weights[column] - grid.dequantize(values[column])
        return self._collect(values, grids)

    def _fit_all(self, rows: Tensor, size: int) -> list[Grid]:
        importance = self.importance[self.order.argsort()]
        return [self._fit(*group) for group in zip(rows.split(size, 1), importance.split(size), strict=True)]

    def _fit(self, weights: Tensor, importance: Tensor) -> Grid:
        """The grid of one group (m, size), as its columns (m,) take it."""
        grid = fit(weights.contiguous(), self.variant, squared_errors(importance) if self.clip else None)
        return Grid(self.variant, grid.scales.squeeze(-1), grid.zeros.squeeze(-1))

    def _collect(self, values: Tensor, grids: list[Grid]) -> QuantizedWeight:
        stored = values[self.order.argsort()].T.to(torch.uint8).contiguous()
        scales = torch.stack([grid.scales for grid in grids], 1).half()
        zeros = torch.stack([grid.zeros for grid in grids], 1).to(torch.uint8)
        return QuantizedWeight(self.variant, stored, scales, zeros)


def _expected_targets(weights: Tensor, targets: Tensor, feedback: Tensor) -> Tensor:
    """The targets of a block's columns (size, m) as far as they can be told before any of them is rounded.

    `targets` has the feedback from before the block alone. Within it, a column moves from its weight to its target (its
    rounding error is not known yet), and this move is fed back to the columns behind it.
    """
    moves = torch.linalg.solve_triangular(feedback, weights - targets, upper=False, unitriangular=True)
    met: Tensor = weights - moves
    return met
