"""Many rows times a matrix, both in eight bits, on a CPU that multiplies such numbers many at a time.

Each row of x is rounded by a scale of its own, so that it does not depend on the rows beside it. Sums of integers are
exact in any order, and scales wait for them. A row that a few numbers tower above would lose the others to rounding
(LLM.int8(), arXiv 2208.07339, keeps such columns apart): it is multiplied as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

TOP = 127
PIECE = 1 << 22  # numbers
LEAST_STEP = 2.0**-100  # for a row of zeros
TOWERING = 32.0  # times a row's root mean square; rounding then adds noise of 32 / 127 / sqrt(12) = 7 % of that


@cache
def is_fast() -> bool:
    """Whether the processor has such products (VNNI); elsewhere they are slower than those of floats."""
    return torch.cpu._is_vnni_supported()


def round_matrix(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(n, k) floats to int8 of the same shape, and the step of each row (n,) bfloat16."""
    steps = _steps(weight.abs().amax(dim=1)).bfloat16()
    return (weight / steps[:, None]).round_().clamp_(-TOP, TOP).to(torch.int8), steps


def product(x: Tensor, numbers: Tensor, steps: Tensor, unrounded: Callable[[Tensor], Tensor]) -> Tensor:
    """x (rows, k) times the transposed matrix of int8 `numbers` (n, k) and `steps` (n,), its rows' scales: (rows, n)
    bfloat16. Off by half a step of the row of x for each number of the matrix, at most; where bytes are not multiplied
    fast, by nothing but the result's rounding.

    Args:
        unrounded: multiplies rows as they are, to the same shape and type.
    """
    if not is_fast():
        return _in_floats(x, numbers, steps)
    largest = x.abs().amax(dim=1).float()
    squares = torch.linalg.vector_norm(x, dim=1, dtype=torch.float32).square_()
    x_steps = _steps(largest)[:, None]
    sums = torch._int_mm(x.float().div_(x_steps).round_().to(torch.int8), numbers.T)
    out = sums.float().mul_(x_steps).mul_(steps).bfloat16()
    return mend_towering(out, x, x_steps[:, 0], squares, unrounded)


def mend_towering(
    out: Tensor, x: Tensor, x_steps: Tensor, squares: Tensor, unrounded: Callable[[Tensor], Tensor]
) -> Tensor:
    """`out` (rows, n) of x (rows, k), whose rows have these steps and sums of squares, (rows,) float32 each; rows with
    a towering number are multiplied again, as they are."""
    towering = (x_steps * TOP).square_() * x.shape[1] > TOWERING**2 * squares
    towering &= x_steps > LEAST_STEP
    if towering.any():
        out[towering] = unrounded(x[towering])
    return out


def _in_floats(x: Tensor, numbers: Tensor, steps: Tensor) -> Tensor:
    """A part of the matrix at a time, so that float32 of it fits."""
    height = max(1, PIECE // x.shape[1])
    pieces, x = zip(numbers.split(height), steps.split(height), strict=True), x.float()
    parts = [(x @ part.float().T).mul_(those) for part, those in pieces]
    return torch.cat(parts, dim=1).bfloat16()


def _steps(largest: Tensor) -> Tensor:
    return (largest / TOP).clamp_(min=LEAST_STEP)
