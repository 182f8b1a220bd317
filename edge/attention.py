"""Attention of new tokens over a cache of earlier ones, for several sequences in one pass.

Knows tensors and heads; no model, no positions. What is the same for every layer (where rows go, what they may see) is
made once per forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

LONG = 256  # rows from which sums of two heads at a time are quicker than PyTorch's fused attention
TOGETHER = 2  # heads
STACKED = 1 << 24  # numbers of a mask that is repeated for each query head: 32 MB in 16 bits

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, q (batch, heads, n, dim), k and v (batch, kv_heads, n, dim)) to (batch, heads, n, dim)."""


class LayerAttention(Protocol):
    """One sequence's new tokens: stores their keys and values, and lets their queries see."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (heads, n, dim), k and v (kv_heads, n, dim) to (heads, n, dim)."""
        ...


class Viewed(Protocol):
    """The keys and values of one sequence."""

    def view(self, n: int, heads: int) -> LayerAttention:
        """What `n` new tokens with so many heads of queries see; made once for all layers."""
        ...


def attention_over(sequences: Sequence[tuple[Viewed, int]], heads: int) -> Attend:
    """What a language model calls in each layer when `n` tokens of each sequence come one after the other in its rows.

    A sequence sees its own cache and no neighbour, so that its rows do not depend on who shares the pass.
    """
    views = [cache.view(n, heads) for cache, n in sequences]
    counts = [n for _, n in sequences]

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = zip(views, *(x[0].split(counts, dim=1) for x in (q, k, v)), strict=True)
        out = [view(layer, *rows) for view, *rows in parts]
        return (out[0] if len(out) == 1 else torch.cat(out, dim=1))[None]

    return attend


def full_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every row sees all, as in a vision tower: q, k and v (batch, heads, n, dim) to the same shape.

    On a CPU that multiplies bfloat16 the fused attention takes 1.6 times as long as plain products of as many heads as
    stay in the cache, from some hundred rows on; on others a third of their time. What one head gives does not depend
    on who is beside it.
    """
    is_long = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[2] >= LONG
    is_plain = is_long and not q.requires_grad and torch.cpu._is_avx512_bf16_supported()
    if not is_plain:
        return F.scaled_dot_product_attention(q, k, v)
    batch, heads, n, dim = q.shape
    parts = (x.reshape(batch * heads, n, dim).split(TOGETHER) for x in (q, k, v))
    nothing = q.new_zeros(1)
    out = [
        torch.baddbmm(nothing, queries, keys.mT, beta=0, alpha=dim**-0.5).softmax(-1) @ values
        for queries, keys, values in zip(*parts, strict=True)
    ]
    return torch.cat(out).view(batch, heads, n, dim)


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Grouped-query attention, q (heads, n, dim) over k and v (kv_heads, m, dim).

    The query heads that share a head of keys are rows of one product with it: copying keys and values for each of them,
    as `enable_gqa` does on a CPU, takes up to fourteen times as long for a single row.

    Args:
        mask: of `additive_mask`, or None where every row sees all.
    """
    kv_heads, (heads, n, dim) = len(k), q.shape
    shared = heads // kv_heads
    if mask is not None and len(mask) == n:
        rows, shape = q.reshape(kv_heads, shared, n, dim), (kv_heads, shared, -1, dim)
        keys, values = k[:, None].expand(shape), v[:, None].expand(shape)
    else:
        rows, keys, values = q.reshape(1, kv_heads, shared * n, dim), k[None], v[None]
    return F.scaled_dot_product_attention(rows, keys, values, attn_mask=mask).reshape(heads, n, dim)


def additive_mask(visible: Tensor, shared: int, dtype: torch.dtype) -> Tensor:
    """What `grouped_attention` adds to its products where `shared` query heads share one of keys: 0 where `visible`
    (n, m) is true and minus infinity elsewhere. (shared * n, m), or (n, m) where that would be large: a photo of
    16,384 tokens would need gigabytes, and rows stacked are quicker for few of them only."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)
    return mask.repeat(shared, 1) if shared * mask.numel() <= STACKED else mask
