"""Numbers of 4 or 8 bits packed into 32-bit words, and unpacked. Knows no format; works on any device.

A word holds 32 / bits numbers, the first in its lowest bits. What goes into words is the last dimension;
whoever packs along another one transposes the matrix first. Words are as the files have them, little-endian,
which is also how every machine that PyTorch supports for this work lays them out in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def pack(values: Tensor, bits: int, order: Sequence[int] | None = None) -> Tensor:
    """(..., width) uint8 to (..., num_words(width)) int32; what the last word has no number for is zero.

    Args:
        order: place i of a word holds the word's number order[i]; without it, they lie as they come.

    >>> [hex(word) for word in pack(torch.arange(8, dtype=torch.uint8), 4).tolist()]
    ['0x76543210']
    """
    per_word = 32 // bits
    values = functional.pad(values, (0, -values.shape[-1] % per_word))
    if order is not None:
        values = values.unflatten(-1, (-1, per_word))[..., list(order)].flatten(-2)
    if bits == 4:
        values = values[..., 0::2] | values[..., 1::2] << 4
    return _reinterpret(values, torch.int32)


def unpack(words: Tensor, bits: int, width: int, order: Sequence[int] | None = None) -> Tensor:
    """The inverse of `pack`, contiguous."""
    values = _reinterpret(words, torch.uint8)
    if bits == 4:
        values = torch.stack((values & 0xF, values >> 4), dim=-1).flatten(-2)
    if order is not None:
        place = sorted(range(len(order)), key=order.__getitem__)  # where number i of a word lies
        values = values.unflatten(-1, (-1, len(order)))[..., place].flatten(-2)
    return values[..., :width].contiguous()


def num_words(width: int, bits: int) -> int:
    return -(-width * bits // 32)


def _reinterpret(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The same bytes as other numbers. The strides are set because a dimension of one may have any, even in a tensor
    that PyTorch calls contiguous, and is then no view of other numbers."""
    flat = tensor.contiguous().as_strided((tensor.numel(),), (1,))
    return flat.view(dtype).reshape(*tensor.shape[:-1], -1)
