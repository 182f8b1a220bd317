"""Few rows times a quantized matrix: reads every packed number once, and unpacks it on its way to the product.

A program computes `COLUMNS` results of up to 16 rows, over all of a row of the matrix or, where that would leave the
device half empty, over one of several parts of it; the parts are added up in a second launch, always in the same order.
No sum depends on which program came first, nor on how many rows share the pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.dots import dot
from edge.kernels.triton.packing import WORD_BITS, WORDS, stretch

ENOUGH = 512  # programs that keep a large device busy
ROWS = 16  # of one program: what the matrix units take at least


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut up: changes its speed, and where `parts` differ the order of its sums."""

    columns: int = 16  # of the result, of one program
    parts: int = 1  # programs that share a row of the matrix
    warps: int = 4
    stages: int = 4  # loads under way at a time


@dataclass(frozen=True, slots=True, eq=False)
class PackedMatrix:
    words: Tensor  # (n, stretches, 32) int32, of `packing.pack`
    scales: Tensor  # (n, groups)
    zeros: Tensor | None  # (n, groups) uint8; None: `middle` throughout
    bits: int
    group: int  # columns
    middle: int
    width: int

    @property
    def height(self) -> int:
        return self.words.shape[0]


def tiling_for(matrix: PackedMatrix) -> Tiling:
    """Few and long rows are shared among programs, so that there are some for every part of the device."""
    programs = triton.cdiv(matrix.height, Tiling.columns)
    return Tiling(parts=max(1, min(8, matrix.words.shape[1] // 4, ENOUGH // programs)))


def multiply(x: Tensor, matrix: PackedMatrix, bias: Tensor | None, tiling: Tiling) -> Tensor:
    """x (m, k) of bfloat16 or float16, contiguous, times the transposed matrix: (m, n)."""
    m, n = len(x), matrix.height
    out = torch.empty(m, n, dtype=x.dtype, device=x.device)
    if m == 0:
        return out
    stretches = matrix.words.shape[1]
    parts = min(tiling.parts, stretches)
    sums = out if parts == 1 else torch.empty(parts, m, n, dtype=torch.float32, device=x.device)
    _multiply[triton.cdiv(n, tiling.columns), parts, triton.cdiv(m, ROWS)](
        x, matrix.words, matrix.scales, matrix.zeros, bias, sums,
        m, n, matrix.width, stretches, triton.cdiv(stretches, parts), matrix.scales.shape[1],
        BITS=matrix.bits, GROUP=matrix.group, MIDDLE=matrix.middle, IS_WHOLE=parts == 1,
        ROWS=ROWS, COLUMNS=tiling.columns, WORDS=WORDS, NUMBERS=WORD_BITS // matrix.bits, STRETCH=stretch(matrix.bits),
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    if parts > 1:
        block = 256
        _add_up[m, triton.cdiv(n, block)](sums, bias, out, m, n, PARTS=parts, BLOCK=block)
    return out


@triton.jit
def _multiply(
    x, words, scales, zeros, bias, out,
    m, n, width, stretches, stretches_of_part, groups,
    BITS: tl.constexpr, GROUP: tl.constexpr, MIDDLE: tl.constexpr, IS_WHOLE: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WORDS: tl.constexpr, NUMBERS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    word = tl.arange(0, WORDS)
    is_column, is_row = column < n, row < m
    safe_column = tl.where(is_column, column, 0)
    sums = tl.zeros((COLUMNS, ROWS), dtype=tl.float32)
    first = part * stretches_of_part
    for index in tl.range(first, min(first + stretches_of_part, stretches)):
        packed = tl.load(words + (safe_column[:, None] * stretches + index) * WORDS + word[None, :])
        for place in tl.static_range(NUMBERS):
            start = index * STRETCH + place * WORDS
            k = start + word
            inputs = tl.load(
                x + row[None, :] * width + k[:, None], mask=is_row[None, :] & (k[:, None] < width), other=0.0
            )
            group = tl.minimum(start // GROUP, groups - 1)
            scale = tl.load(scales + safe_column * groups + group).to(tl.float32)
            number = ((packed >> (BITS * place)) & ((1 << BITS) - 1)).to(tl.float32)
            if zeros is None:
                number -= MIDDLE
            else:
                number -= tl.load(zeros + safe_column * groups + group).to(tl.float32)[:, None]
            weight = (number * scale[:, None]).to(inputs.dtype)
            sums = dot(weight, inputs, sums)
    place_in_out = row[None, :] * n + column[:, None]
    if IS_WHOLE:
        if bias is not None:
            sums += tl.load(bias + safe_column).to(tl.float32)[:, None]
        tl.store(out + place_in_out, sums.to(out.dtype.element_ty), mask=is_column[:, None] & is_row[None, :])
    else:
        tl.store(out + part * m * n + place_in_out, sums, mask=is_column[:, None] & is_row[None, :])


@triton.jit
def _add_up(sums, bias, out, m, n, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """(parts, m, n) to (m, n), part after part."""
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_column = column < n
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for part in tl.static_range(PARTS):
        total += tl.load(sums + (part * m + row) * n + column, mask=is_column, other=0.0)
    if bias is not None:
        total += tl.load(bias + column, mask=is_column, other=0.0).to(tl.float32)
    tl.store(out + row * n + column, total.to(out.dtype.element_ty), mask=is_column)
