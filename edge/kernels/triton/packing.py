"""How quantized numbers lie on a CUDA device: words of 32 bits, a run of 32 words for a stretch of a row.

A word holds eight numbers of four bits or four of eight. Number j of word w of a stretch is column 32 * j + w of it:
the numbers at one place of all words are neighbours, so that their inputs are read in one go, and groups of 32, 64 and
128 have one scale for all of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WORDS = 32  # of a stretch
WORD_BITS = 32


def stretch(bits: int) -> int:
    """Columns that lie in the same 32 words: 256 of four bits, 128 of eight."""
    return WORDS * (WORD_BITS // bits)


def pack(values: Tensor, bits: int) -> Tensor:
    """(n, k) bytes to (n, stretches, 32) int32; what is missing in the last stretch of a row is 0."""
    padded = F.pad(values, (0, -values.shape[1] % stretch(bits)))
    planes = padded.unflatten(1, (-1, WORD_BITS // bits, WORDS)).int()  # (n, stretches, numbers in a word, words)
    words = torch.zeros_like(planes[:, :, 0])
    for place in range(planes.shape[2]):
        words |= planes[:, :, place] << (bits * place)
    return words.contiguous()


def unpack(words: Tensor, bits: int, width: int) -> Tensor:
    """The inverse: (n, stretches, 32) int32 to (n, width) bytes."""
    shifts = torch.arange(0, WORD_BITS, bits, device=words.device, dtype=torch.int32)
    planes = (words[:, :, None, :] >> shifts[:, None]) & ((1 << bits) - 1)
    return planes.flatten(1)[:, :width].byte()
