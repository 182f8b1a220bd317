"""Keys and values of one sequence, preallocated; cropping moves a number, not memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.models.qwen2_vl.config import LanguageConfig


class KVCache:
    """Room for `capacity` tokens in every layer; the first `length` are filled."""

    def __init__(self, config: LanguageConfig, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (2, config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        self.kv = torch.empty(shape, dtype=dtype, device=device)
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
        twin = object.__new__(KVCache)
        twin.kv = torch.empty_like(self.kv)
        twin.kv[..., : self.length, :] = self.kv[..., : self.length, :]
        twin.length = self.length
        return twin

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store the new rows' k and v, (1, kv_heads, n, dim); let q, (1, heads, n, dim), see all up to itself.

        `length` moves only when the whole model has seen the new rows: see `advance`.
        """
        n = q.shape[2]
        end = self.length + n
        self.kv[0, layer, :, self.length : end] = k[0]
        self.kv[1, layer, :, self.length : end] = v[0]
        keys, values = self.kv[:, layer, None, :, :end]
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=self._mask(n, end), enable_gqa=True)

    def advance(self, n: int) -> None:
        self.length += n

    def _mask(self, n: int, end: int) -> Tensor | None:
        """Which of `end` columns each of the `n` last rows may see; a single row sees all."""
        if n == 1:
            return None
        return torch.ones(n, end, dtype=torch.bool, device=self.kv.device).tril(end - n)
