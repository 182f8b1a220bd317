"""Packed whole numbers to floats, where they lie in their word.

A number's bits are put where a large float keeps its last digits, which makes that float larger by just the number;
taking the large float away again is exact. Which place of the word the number has makes the same difference a power of
two larger, which the subtraction undoes in the same instruction: as many places as a float has digits need no shift.
"""

from __future__ import annotations

import triton
import triton.language as tl

from edge.kernels.triton.dots import INTERPRETED


@triton.jit
def number_at(words, zero, PLACE: tl.constexpr, BITS: tl.constexpr):
    """The number at this place of each of the words (int32), less its zero (float32, of a shape that fits)."""
    SHIFT: tl.constexpr = 0 if (PLACE + 1) * BITS <= 23 else 23 // BITS * BITS  # a float has 23 digits
    LOW: tl.constexpr = PLACE * BITS - SHIFT
    MASK: tl.constexpr = ((1 << BITS) - 1) << LOW
    LARGE: tl.constexpr = 8388608.0 / (1 << LOW)  # 2 ** 23, whose last digit counts 1
    return put_into(words >> SHIFT, MASK).to(tl.float32, bitcast=True) * (1.0 / (1 << LOW)) - (LARGE + zero)


@triton.jit
def put_into(words, MASK: tl.constexpr):
    """The masked bits, and those of 2.0 ** 23, in one instruction: the compiler makes two of it."""
    LARGE: tl.constexpr = 0x4B000000
    if INTERPRETED:
        return (words & MASK) | LARGE
    return tl.inline_asm_elementwise(
        "lop3.b32 $0, $1, $2, $3, 0xEA;", "=r,r,r,r", [words, MASK, LARGE], dtype=tl.int32, is_pure=True, pack=1
    )
