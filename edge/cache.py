"""Keys and values of one sequence, preallocated; cropping moves a number, not memory.

Two kinds with the same content: `KVCache` knows its length on the host and looks at no more than is filled;
`StaticKVCache` knows it on the device as well, where few new rows look for it: each such step has the same shapes and
addresses and can be captured as a graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edge.attention import LayerAttention, additive_mask, grouped_attention
from edge.operations import is_fused

FEW_ROWS = 16  # that are attended to one by one in sixteen bits
STEP_ROWS = 64  # of a step that may be filled up with rows that mean nothing


class KVCache:
    """Room for `capacity` tokens in every layer; the first `length` are filled.

    Args:
        shape: layers, heads of keys and values, numbers in each head.
    """

    def __init__(
        self, shape: tuple[int, int, int], capacity: int, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        layers, kv_heads, head_dim = shape
        self.kv = self._memory((2, layers, kv_heads, capacity, head_dim), dtype, device)
        self.length = 0

    @property
    def capacity(self) -> int:
        return self.kv.shape[3]

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a cache of {self.length} tokens to {length}")
        self.length = length

    def copy(self) -> KVCache:
        """An independent cache of the same capacity with the same content."""
        _, layers, kv_heads, _, head_dim = self.kv.shape
        twin = type(self)((layers, kv_heads, head_dim), self.capacity, self.kv.dtype, self.kv.device)
        twin.kv[..., : self.length, :] = self.kv[..., : self.length, :]
        twin.advance(self.length)
        return twin

    def view(self, n: int, heads: int) -> LayerAttention:
        """How `n` new tokens of a model with so many query heads are stored and see, in any layer of one pass.

        `length` moves only when the whole model has seen the new rows: see `advance`.
        """
        end = self.length + n
        if n == 1 or (n <= FEW_ROWS and self.kv.itemsize == 2):
            return _RowByRowView(self.kv, self.length, end)
        return _FilledView(self.kv, self.length, end, self._mask(n, end, heads))

    def advance(self, n: int) -> None:
        self.length += n

    def _mask(self, n: int, end: int, heads: int) -> Tensor:
        visible = torch.ones(n, end, dtype=torch.bool, device=self.kv.device).tril(end - n)
        return additive_mask(visible, heads // self.kv.shape[2], self.kv.dtype)

    def _memory(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)


@dataclass(frozen=True, slots=True, eq=False)
class _FilledView:
    kv: Tensor
    start: int
    end: int
    mask: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.kv[0, layer, :, self.start : self.end] = k
        self.kv[1, layer, :, self.start : self.end] = v
        keys, values = self.kv[:, layer, :, : self.end]
        return grouped_attention(q, keys, values, self.mask)


@dataclass(frozen=True, slots=True, eq=False)
class _RowByRowView:
    """Each of a few rows gets the very numbers that it would get alone: a product of several adds up in another order.

    Products with weights go row by row as well, in sixteen bits and quantized, so that a few tokens come out as if one
    by one. In float32 PyTorch's do not, and this would be in vain.
    """

    kv: Tensor
    start: int
    end: int

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        self.kv[0, layer, :, self.start : self.end] = k
        self.kv[1, layer, :, self.start : self.end] = v
        keys, values = self.kv[:, layer]
        out = [
            grouped_attention(q[:, row : row + 1], keys[:, :seen], values[:, :seen], None)
            for row, seen in enumerate(range(self.start + 1, self.end + 1))
        ]
        return out[0] if len(out) == 1 else torch.cat(out, dim=1)


class StaticKVCache(KVCache):
    """`filled` is its length on the device, where a step reads it: no shape depends on it. `STEP_ROWS` rows more than
    asked for have room, so that a step may bring some that mean nothing."""

    def __init__(
        self, shape: tuple[int, int, int], capacity: int, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        super().__init__(shape, capacity + STEP_ROWS, dtype, device)
        self.filled = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def capacity(self) -> int:
        return super().capacity - STEP_ROWS

    def crop(self, length: int) -> None:
        super().crop(length)
        self.filled.fill_(length)

    def advance(self, n: int) -> None:
        super().advance(n)
        self.filled += n

    def follow(self, n: int) -> None:
        """The device has advanced by itself, in a graph."""
        super().advance(n)

    def view(self, n: int, heads: int) -> LayerAttention:
        if is_fused(self.kv):
            return _FusedView(self.kv, self.filled)
        if n > STEP_ROWS:
            return super().view(n, heads)
        device = self.kv.device
        rows = self.filled + torch.arange(n, device=device)
        visible = torch.arange(self.kv.shape[3], device=device) <= rows[:, None]
        return _StaticView(self.kv, rows, additive_mask(visible, heads // self.kv.shape[2], self.kv.dtype))

    def _memory(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)  # what is masked is still multiplied, and must be finite


@dataclass(frozen=True, slots=True, eq=False)
class _StaticView:
    kv: Tensor
    rows: Tensor  # (n,) where new keys and values go
    mask: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.kv[0, layer], self.kv[1, layer]
        keys.index_copy_(1, self.rows, k)
        values.index_copy_(1, self.rows, v)
        return grouped_attention(q, keys, values, self.mask)


@dataclass(frozen=True, slots=True, eq=False)
class _FusedView:
    kv: Tensor
    filled: Tensor

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        from edge.kernels.triton import attention, elementwise

        elementwise.store(k, v, self.kv[:, layer], self.filled)
        keys, values = self.kv[:, layer]
        return attention.attend(q.contiguous(), keys, values, self.filled).transpose(0, 1)
