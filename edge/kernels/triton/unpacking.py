"""A quantized matrix, or some of its rows, as plain numbers: for products of many rows, and for an embedding."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.packing import WORD_BITS, WORDS, stretch
from edge.kernels.triton.product import PackedMatrix


def unpack_rows(matrix: PackedMatrix, rows: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The rows of these indices (m,), or all: (m, width), each number rounded once."""
    count = matrix.height if rows is None else len(rows)
    out = torch.empty(count, matrix.width, dtype=dtype, device=matrix.words.device)
    if count:
        _unpack[count, matrix.words.shape[1]](
            matrix.words, matrix.scales, matrix.zeros, rows, out, matrix.width, matrix.words.shape[1],
            matrix.scales.shape[1], BITS=matrix.bits, GROUP=matrix.group, MIDDLE=matrix.middle,
            WORDS=WORDS, NUMBERS=WORD_BITS // matrix.bits, STRETCH=stretch(matrix.bits), num_warps=1,
        )  # fmt: skip
    return out


@triton.jit
def _unpack(
    words, scales, zeros, rows, out, width, stretches, groups,
    BITS: tl.constexpr, GROUP: tl.constexpr, MIDDLE: tl.constexpr,
    WORDS: tl.constexpr, NUMBERS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    place, index = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row = place if rows is None else tl.load(rows + place)
    number, word = tl.arange(0, NUMBERS), tl.arange(0, WORDS)
    packed = tl.load(words + (row * stretches + index) * WORDS + word)
    column = index * STRETCH + number[:, None] * WORDS + word[None, :]
    group = tl.minimum((index * STRETCH + number * WORDS) // GROUP, groups - 1)
    scale = tl.load(scales + row * groups + group).to(tl.float32)
    numbers = ((packed[None, :] >> (BITS * number)[:, None]) & ((1 << BITS) - 1)).to(tl.float32)
    if zeros is None:
        numbers -= MIDDLE
    else:
        numbers -= tl.load(zeros + row * groups + group).to(tl.float32)[:, None]
    weights = (numbers * scale[:, None]).to(out.dtype.element_ty)
    tl.store(out + place * width + column, weights, mask=column < width)
