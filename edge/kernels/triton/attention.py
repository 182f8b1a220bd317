"""Attention of few new rows over a long cache, whose length only the device knows.

The cache is cut into stretches of a fixed number of tokens, and each program lets all query heads of one head of keys
look at one stretch; a second launch weighs what they saw (flash-decoding, arXiv 2311.01282). Stretches begin at the same
tokens whatever the cache's length and the number of rows, so a row's result depends on neither.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.dots import dot

STRETCH = 64  # tokens of the cache that one program looks at
LEAST_ROWS = 16  # what the matrix units take at least
LOG2_E = 1.4426950408889634


def attend(q: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
    """Query rows that are the newest tokens of a cache, over all tokens up to their own.

    Args:
        q: (heads, n, dim), contiguous.
        keys, values: (kv_heads, capacity, dim) of one layer, the new tokens among them; rows and numbers lie together.
        filled: () int64, tokens before the new ones.

    Returns:
        (n, heads, dim).
    """
    (heads, n, dim), (kv_heads, capacity, _) = q.shape, keys.shape
    rows = heads // kv_heads * n
    block = max(LEAST_ROWS, triton.next_power_of_2(rows))
    stretches = triton.cdiv(capacity, STRETCH)
    seen = torch.empty(kv_heads, stretches, rows, dim, dtype=torch.float32, device=q.device)
    weights = torch.empty(2, kv_heads, stretches, rows, dtype=torch.float32, device=q.device)  # the greatest, the sum
    out = torch.empty(n, heads, dim, dtype=q.dtype, device=q.device)
    _look[kv_heads, stretches](
        q, keys, values, filled, seen, weights, n, rows, capacity, keys.stride(0), values.stride(0), dim**-0.5 * LOG2_E,
        DIM=dim, ROWS=block, STRETCH=STRETCH, num_warps=4,
    )  # fmt: skip
    _weigh[kv_heads, rows](
        seen, weights, filled, out, n, rows, heads, stretches,
        DIM=dim, STRETCH=STRETCH, STRETCHES=triton.next_power_of_2(stretches), num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def _look(
    q, keys, values, filled, seen, weights, n, rows, capacity, key_stride, value_stride, scale,
    DIM: tl.constexpr, ROWS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    head, stretch = tl.program_id(0), tl.program_id(1)
    length = tl.load(filled)
    if stretch * STRETCH < length + n:
        row, number = tl.arange(0, ROWS), tl.arange(0, DIM)
        token = stretch * STRETCH + tl.arange(0, STRETCH)
        is_row, is_token = row < rows, token < length + n
        queries = tl.load(q + (head * rows + row[:, None]) * DIM + number[None, :], mask=is_row[:, None], other=0.0)
        place = token[:, None] * DIM + number[None, :]
        k = tl.load(keys + head * key_stride + place, mask=is_token[:, None], other=0.0)
        v = tl.load(values + head * value_stride + place, mask=is_token[:, None], other=0.0)
        products = dot(queries, tl.trans(k), tl.zeros((ROWS, STRETCH), dtype=tl.float32)) * scale
        products = tl.where(token[None, :] <= length + (row % n)[:, None], products, float("-inf"))
        greatest = tl.max(products, axis=1)
        shift = tl.where(greatest == float("-inf"), 0.0, greatest)  # rows that see nothing of this stretch
        shares = tl.exp2(products - shift[:, None])
        found = dot(shares.to(v.dtype), v, tl.zeros((ROWS, DIM), dtype=tl.float32))
        place = (head * tl.num_programs(1) + stretch) * rows + row
        tl.store(seen + place[:, None] * DIM + number[None, :], found, mask=is_row[:, None])
        tl.store(weights + place, greatest, mask=is_row)
        tl.store(weights + tl.num_programs(0) * tl.num_programs(1) * rows + place, tl.sum(shares, axis=1), mask=is_row)


@triton.jit
def _weigh(
    seen, weights, filled, out, n, rows, heads, stretches,
    DIM: tl.constexpr, STRETCH: tl.constexpr, STRETCHES: tl.constexpr,
):  # fmt: skip
    head, row = tl.program_id(0), tl.program_id(1)
    number, stretch = tl.arange(0, DIM), tl.arange(0, STRETCHES)
    looked = tl.cdiv(tl.load(filled) + n, STRETCH)
    place = (head * stretches + stretch) * rows + row
    greatest = tl.load(weights + place, mask=stretch < looked, other=float("-inf"))
    sums = tl.load(weights + tl.num_programs(0) * stretches * rows + place, mask=stretch < looked, other=0.0)
    top = tl.max(greatest, axis=0)
    total = tl.sum(sums * tl.exp2(greatest - top), axis=0)
    found = tl.zeros((DIM,), dtype=tl.float32)
    for index in tl.range(0, looked):
        place = (head * stretches + index) * rows + row
        share = tl.exp2(tl.load(weights + place) - top)
        found += tl.load(seen + place * DIM + number) * share
    query_head = head * (rows // n) + row // n
    tl.store(out + ((row % n) * heads + query_head) * DIM + number, (found / total).to(out.dtype.element_ty))
