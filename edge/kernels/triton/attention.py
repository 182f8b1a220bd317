"""Attention of new rows over a cache whose length only the device knows.

The query heads that share a head of keys are rows of one product with it. For few rows the cache is cut into stretches
of a fixed number of tokens, a program looks at one, and a second launch weighs what they saw (flash-decoding, arXiv
2311.01282); many rows keep the device busy by themselves, and each program goes through the whole cache
(FlashAttention, arXiv 2205.14135). Stretches begin at the same tokens whatever the cache's length, so that a row's
result does not depend on it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from edge.kernels.triton.dots import dot

STRETCH = 64  # tokens of the cache that one program looks at
FEW = 16  # new tokens, up to which the cache is cut
LEAST_ROWS = 16  # what the matrix units take at least
TILE_ROWS, TILE_TOKENS = 64, 32  # of a program for many rows
LOG2_E = 1.4426950408889634


def attend(q: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
    """Query rows that are the newest tokens of a cache, over all tokens up to their own.

    Args:
        q: (heads, n, dim), contiguous.
        keys, values: (kv_heads, capacity, dim) of one layer, the new tokens among them; a head's rows lie together.
        filled: () int64, tokens before the new ones.

    Returns:
        (n, heads, dim).
    """
    (heads, n, dim), kv_heads = q.shape, len(keys)
    rows = heads // kv_heads * n
    out = torch.empty(n, heads, dim, dtype=q.dtype, device=q.device)
    if n <= FEW:
        _attend_few(q, keys, values, filled, out, rows)
    else:
        _look_through[kv_heads, triton.cdiv(rows, TILE_ROWS)](
            q, keys, values, filled, out, n, rows, heads, keys.stride(0), values.stride(0), dim**-0.5 * LOG2_E,
            DIM=dim, ROWS=TILE_ROWS, TOKENS=TILE_TOKENS, num_warps=4, num_stages=2,
        )  # fmt: skip
    return out


def _attend_few(q: Tensor, keys: Tensor, values: Tensor, filled: Tensor, out: Tensor, rows: int) -> None:
    (heads, n, dim), (kv_heads, capacity, _) = q.shape, keys.shape
    stretches = triton.cdiv(capacity, STRETCH)
    seen = torch.empty(kv_heads, stretches, rows, dim, dtype=torch.float32, device=q.device)
    weights = torch.empty(2, kv_heads, stretches, rows, dtype=torch.float32, device=q.device)  # the greatest, the sum
    _look[kv_heads, stretches](
        q, keys, values, filled, seen, weights, n, rows, keys.stride(0), values.stride(0), dim**-0.5 * LOG2_E,
        DIM=dim, ROWS=max(LEAST_ROWS, triton.next_power_of_2(rows)), STRETCH=STRETCH, num_warps=4,
    )  # fmt: skip
    _weigh[kv_heads, rows](
        seen, weights, filled, out, n, rows, heads, stretches,
        DIM=dim, STRETCH=STRETCH, STRETCHES=triton.next_power_of_2(stretches), num_warps=4,
    )  # fmt: skip


@triton.jit
def _look(
    q, keys, values, filled, seen, weights, n, rows, key_stride, value_stride, scale,
    DIM: tl.constexpr, ROWS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    head, stretch = tl.program_id(0), tl.program_id(1)
    length = tl.load(filled).to(tl.int32)
    if stretch * STRETCH < length + n:
        row, number = tl.arange(0, ROWS), tl.arange(0, DIM)
        token = stretch * STRETCH + tl.arange(0, STRETCH)
        is_row, is_token = row < rows, token < length + n
        queries = tl.load(q + (head * rows + row[:, None]) * DIM + number[None, :], mask=is_row[:, None], other=0.0)
        lying = token[:, None] * DIM + number[None, :]
        k = tl.load(keys + head * key_stride + lying, mask=is_token[:, None], other=0.0)
        v = tl.load(values + head * value_stride + lying, mask=is_token[:, None], other=0.0)
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
    looked = tl.cdiv(tl.load(filled).to(tl.int32) + n, STRETCH)
    first = head * stretches * rows + row
    place = first + stretch * rows
    greatest = tl.load(weights + place, mask=stretch < looked, other=float("-inf"))
    sums = tl.load(weights + tl.num_programs(0) * stretches * rows + place, mask=stretch < looked, other=0.0)
    top = tl.max(greatest, axis=0)
    total = tl.sum(sums * tl.exp2(greatest - top), axis=0)
    found = tl.zeros((DIM,), dtype=tl.float32)
    for index in tl.range(0, looked):
        share = tl.exp2(tl.load(weights + first + index * rows) - top)
        found += tl.load(seen + (first + index * rows) * DIM + number) * share
    query_head = head * (rows // n) + row // n
    tl.store(out + ((row % n) * heads + query_head) * DIM + number, (found / total).to(out.dtype.element_ty))


@triton.jit
def _look_through(
    q, keys, values, filled, out, n, rows, heads, key_stride, value_stride, scale,
    DIM: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row, number = tl.program_id(1) * ROWS + tl.arange(0, ROWS), tl.arange(0, DIM)
    is_row = row < rows
    length = tl.load(filled).to(tl.int32)
    queries = tl.load(q + (head * rows + row[:, None]) * DIM + number[None, :], mask=is_row[:, None], other=0.0)
    greatest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), dtype=tl.float32)
    found = tl.zeros((ROWS, DIM), dtype=tl.float32)
    for start in tl.range(0, length + n, TOKENS):
        token = start + tl.arange(0, TOKENS)
        is_token = token < length + n
        lying = token[:, None] * DIM + number[None, :]
        k = tl.load(keys + head * key_stride + lying, mask=is_token[:, None], other=0.0)
        products = dot(queries, tl.trans(k), tl.zeros((ROWS, TOKENS), dtype=tl.float32)) * scale
        products = tl.where(token[None, :] <= length + (row % n)[:, None], products, float("-inf"))
        top = tl.maximum(greatest, tl.max(products, axis=1))  # finite from the first tile on: every row sees token 0
        before = tl.exp2(greatest - top)
        shares = tl.exp2(products - top[:, None])
        v = tl.load(values + head * value_stride + lying, mask=is_token[:, None], other=0.0)
        total = total * before + tl.sum(shares, axis=1)
        found = dot(shares.to(v.dtype), v, found * before[:, None])
        greatest = top
    query_head = head * (rows // n) + row // n
    lying = ((row % n) * heads + query_head)[:, None] * DIM + number[None, :]
    tl.store(out + lying, (found / total[:, None]).to(out.dtype.element_ty), mask=is_row[:, None])
