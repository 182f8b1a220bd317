"""A quantized matrix, or some of its rows, as plain numbers: for products of many rows, and for an embedding."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.numbers import number_at
from edge.kernels.triton.packing import WORD_BITS, WORDS, stretch
from edge.kernels.triton.product import PackedMatrix

ROWS = 16  # of one program


def unpack_rows(matrix: PackedMatrix, rows: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The rows of these indices (m,), or all: (m, width), each number rounded once."""
    count = matrix.height if rows is None else len(rows)
    out = torch.empty(count, matrix.width, dtype=dtype, device=matrix.words.device)
    if count:
        _unpack[triton.cdiv(count, ROWS), matrix.stretches](
            matrix.words, matrix.scales, matrix.zeros, rows, out, count, matrix.width, matrix.stretches,
            matrix.scales.shape[1], BITS=matrix.bits, GROUP=matrix.group, MIDDLE=matrix.middle, ROWS=ROWS,
            WORDS=WORDS, NUMBERS=WORD_BITS // matrix.bits, STRETCH=stretch(matrix.bits), num_warps=4,
        )  # fmt: skip
    return out


@triton.jit
def _unpack(
    words, scales, zeros, rows, out, count, width, stretches, groups,
    BITS: tl.constexpr, GROUP: tl.constexpr, MIDDLE: tl.constexpr, ROWS: tl.constexpr,
    WORDS: tl.constexpr, NUMBERS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    place_out, index = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
    is_row = place_out < count
    row = tl.where(is_row, place_out, 0) if rows is None else tl.load(rows + place_out, mask=is_row, other=0)
    row = row.to(tl.int64)
    word = tl.arange(0, WORDS)
    packed = tl.load(words + (row[:, None] * stretches + index) * WORDS + word[None, :])
    for place in tl.static_range(NUMBERS):
        if place * WORDS % GROUP == 0 or place == 0:
            group = row * groups + tl.minimum((index * STRETCH + place * WORDS) // GROUP, groups - 1)
            scale = tl.load(scales + group).to(tl.float32)[:, None]
            zero = MIDDLE if zeros is None else tl.load(zeros + group).to(tl.float32)[:, None]
        column = index * STRETCH + place * WORDS + word
        weights = (number_at(packed, zero, place, BITS) * scale).to(out.dtype.element_ty)
        where = place_out.to(tl.int64)[:, None] * width + column[None, :]
        tl.store(out + where, weights, mask=is_row[:, None] & (column < width)[None, :])
