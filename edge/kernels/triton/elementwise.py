"""What lies between the products of a layer, in one launch each where PyTorch needs several.

Sums and products are of float32, and rounded where the plain functions in `edge.operations` round.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # numbers of one program


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x (..., width), contiguous."""
    out = torch.empty_like(x)
    width = x.shape[-1]
    _rms_norm[(x.numel() // width,)](x, weight, out, width, eps, BLOCK=triton.next_power_of_2(width), num_warps=4)
    return out


@triton.jit
def _rms_norm(x, weight, out, width, eps, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    is_column = column < width
    wide = tl.load(x + row * width + column, mask=is_column, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / width + eps)
    scaled = (wide * scale).to(out.dtype.element_ty).to(tl.float32)
    weights = tl.load(weight + column, mask=is_column, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (scaled * weights).to(out.dtype.element_ty), mask=is_column)


def swiglu(x: Tensor) -> Tensor:
    """x (..., 2 * width), contiguous: gates, then what they let through; (..., width)."""
    width = x.shape[-1] // 2
    rows = x.numel() // (2 * width)
    out = torch.empty(*x.shape[:-1], width, dtype=x.dtype, device=x.device)
    _swiglu[rows, triton.cdiv(width, BLOCK)](x, out, width, BLOCK=BLOCK, num_warps=4)
    return out


@triton.jit
def _swiglu(x, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_column = column < width
    gate = tl.load(x + row * 2 * width + column, mask=is_column, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * width + width + column, mask=is_column, other=0.0).to(tl.float32)
    opened = (gate * tl.sigmoid(gate)).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * width + column, (opened * up).to(out.dtype.element_ty), mask=is_column)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (heads, n, dim), whose numbers lie together, by angles (n, dim), contiguous; (heads, n, dim), contiguous."""
    heads, n, dim = x.shape
    out = torch.empty(heads, n, dim, dtype=x.dtype, device=x.device)
    _rotate[heads, n](x, cos, sin, out, x.stride(0), x.stride(1), n, DIM=dim, num_warps=1)
    return out


@triton.jit
def _rotate(x, cos, sin, out, head_stride, row_stride, n, DIM: tl.constexpr):
    head, row = tl.program_id(0), tl.program_id(1)
    number = tl.arange(0, DIM)
    half = DIM // 2
    other = tl.where(number < half, number + half, number - half)
    base = x + head * head_stride + row * row_stride
    dtype = out.dtype.element_ty
    turned = tl.load(base + other).to(tl.float32)
    turned = tl.where(number < half, -turned, turned)
    first = tl.load(base + number).to(tl.float32) * tl.load(cos + row * DIM + number).to(tl.float32)
    second = turned * tl.load(sin + row * DIM + number).to(tl.float32)
    rounded = first.to(dtype).to(tl.float32) + second.to(dtype).to(tl.float32)
    tl.store(out + (head * n + row) * DIM + number, rounded.to(dtype))


def store(k: Tensor, v: Tensor, kv: Tensor, filled: Tensor) -> None:
    """New keys and values (kv_heads, n, dim), whose numbers lie together, behind the `filled` tokens of one layer's
    cache kv (2, kv_heads, capacity, dim)."""
    kv_heads, n, dim = k.shape
    _store[2, kv_heads, n](
        k, v, kv, filled, k.stride(0), k.stride(1), v.stride(0), v.stride(1), kv.stride(0), kv.stride(1),
        DIM=dim, num_warps=1,
    )  # fmt: skip


@triton.jit
def _store(
    k, v, kv, filled, k_head, k_row, v_head, v_row, kv_side, kv_head, DIM: tl.constexpr
):  # fmt: skip
    side, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    number = tl.arange(0, DIM)
    if side == 0:
        numbers = tl.load(k + head * k_head + row * k_row + number)
    else:
        numbers = tl.load(v + head * v_head + row * v_row + number)
    tl.store(kv + side * kv_side + head * kv_head + (tl.load(filled) + row) * DIM + number, numbers)
