"""Few rows times a quantized matrix: reads every packed number once, and unpacks it on its way to the matrix units.

These multiply numbers less their zeros, which sixteen bits hold exactly; scales wait for the sums of their groups.
Long rows of the matrix are cut into parts, one program each, whose sums a second launch adds up, always in the same
order. So a result depends neither on which program came first nor on the rows that share the pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.dots import dot
from edge.kernels.triton.numbers import number_at
from edge.kernels.triton.packing import WORD_BITS, WORDS, stretch

ROWS = 16  # of a program: what the matrix units take at least
TALL = 1 << 13  # rows of a matrix
BLOCK_SUMS = 256  # of a program of the second launch


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a product is cut up: changes its speed, and where `parts` differ the order of its sums."""

    columns: int = 32  # of the result, of one program
    parts: int = 1  # of a row of the matrix
    warps: int = 2
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

    @property
    def stretches(self) -> int:
        return self.words.shape[1]


def tiling_for(matrix: PackedMatrix) -> Tiling:
    """As measured on an H200 (benchmarks/LOG.md): tall matrices have programs enough for all of a device, others need
    their rows cut."""
    if matrix.height >= TALL:
        return Tiling(columns=64, parts=1, warps=4)
    return Tiling(columns=32, parts=min(8, matrix.stretches), warps=2)


def multiply(x: Tensor, matrix: PackedMatrix, added: Tensor | None, tiling: Tiling) -> Tensor:
    """x (m, k) of bfloat16 or float16 times the transposed matrix, plus what is added, (n,) or (m, n): (m, n). All are
    contiguous."""
    m, n = len(x), matrix.height
    out = torch.empty(m, n, dtype=x.dtype, device=x.device)
    if m == 0:
        return out
    of_part = triton.cdiv(matrix.stretches, tiling.parts)
    parts = triton.cdiv(matrix.stretches, of_part)
    sums = out if parts == 1 else torch.empty(parts, m, n, dtype=torch.float32, device=x.device)
    added_stride = n if added is not None and added.ndim == 2 else 0
    _multiply[triton.cdiv(n, tiling.columns), parts, triton.cdiv(m, ROWS)](
        x, matrix.words, matrix.scales, matrix.zeros, added, sums, m, n, matrix.width, matrix.stretches, of_part,
        matrix.scales.shape[1], added_stride,
        BITS=matrix.bits, GROUP=matrix.group, MIDDLE=matrix.middle, IS_WHOLE=parts == 1, ROWS=ROWS, WORDS=WORDS,
        COLUMNS=tiling.columns, STRETCH=stretch(matrix.bits), NUMBERS=WORD_BITS // matrix.bits,
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    if parts > 1:
        _add_up[m, triton.cdiv(n, BLOCK_SUMS)](sums, added, out, m, n, added_stride, PARTS=parts, BLOCK=BLOCK_SUMS)
    return out


@triton.jit
def _multiply(
    x, words, scales, zeros, added, out, m, n, width, stretches, of_part, groups, added_stride,
    BITS: tl.constexpr, GROUP: tl.constexpr, MIDDLE: tl.constexpr, IS_WHOLE: tl.constexpr, ROWS: tl.constexpr,
    WORDS: tl.constexpr, COLUMNS: tl.constexpr, STRETCH: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    word = tl.arange(0, WORDS)
    is_row, is_column = row < m, column < n
    safe_column = tl.where(is_column, column, 0)
    sums = tl.zeros((COLUMNS, ROWS), dtype=tl.float32)
    for index in tl.range(part * of_part, tl.minimum((part + 1) * of_part, stretches)):
        packed = tl.load(words + (safe_column[:, None] * stretches + index) * WORDS + word[None, :])
        of_group = tl.zeros((COLUMNS, ROWS), dtype=tl.float32)
        for place in tl.static_range(NUMBERS):
            if place * WORDS % GROUP == 0 or place == 0:
                group = safe_column * groups + tl.minimum((index * STRETCH + place * WORDS) // GROUP, groups - 1)
                scale = tl.load(scales + group).to(tl.float32)
                zero = MIDDLE if zeros is None else tl.load(zeros + group).to(tl.float32)[:, None]
                of_group = tl.zeros((COLUMNS, ROWS), dtype=tl.float32)
            k = index * STRETCH + place * WORDS + word
            inputs = tl.load(
                x + row[None, :] * width + k[:, None], mask=is_row[None, :] & (k < width)[:, None], other=0.0
            )
            of_group = dot(number_at(packed, zero, place, BITS).to(inputs.dtype), inputs, of_group)
            if (place + 1) * WORDS % GROUP == 0 or place == NUMBERS - 1:
                sums += of_group * scale[:, None]
    is_result = is_column[:, None] & is_row[None, :]
    where = row[None, :] * n + column[:, None]
    if IS_WHOLE:
        if added is not None:
            more = tl.load(added + row[None, :] * added_stride + column[:, None], mask=is_result, other=0.0)
            sums = sums.to(out.dtype.element_ty).to(tl.float32) + more.to(tl.float32)
    else:
        where += part * m * n
    tl.store(out + where, sums.to(out.dtype.element_ty), mask=is_result)


@triton.jit
def _add_up(sums, added, out, m, n, added_stride, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """(parts, m, n) to (m, n), part after part; rounded before more is added, as where that is a step of its own."""
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_column = column < n
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for part in tl.static_range(PARTS):
        total += tl.load(sums + (part * m + row) * n + column, mask=is_column, other=0.0)
    if added is not None:
        more = tl.load(added + row * added_stride + column, mask=is_column, other=0.0).to(tl.float32)
        total = total.to(out.dtype.element_ty).to(tl.float32) + more
    tl.store(out + row * n + column, total.to(out.dtype.element_ty), mask=is_column)
