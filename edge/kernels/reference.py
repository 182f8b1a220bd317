"""The kernel that defines what is correct: the matrix is made anew for every product, block by block.

Takes every variant, dtype and device. Slow for single rows, since every number is unpacked for one multiplication;
for many rows the product itself outweighs that.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

# Numbers of the matrix that exist at a time. On a CPU a block should stay in the cache, on other devices fill it.
BLOCK = {"cpu": 1 << 18}
LARGE_BLOCK = 1 << 25


class Reference:
    """Holds the numbers as they are, four-bit ones two in a byte.

    `matmul` is exactly `x @ weight.dequantize().to(dtype).T` for a matrix of a single block; several blocks may differ
    from that in the last bit, as may any two ways to add up a product.
    """

    device = None

    def __init__(self, weight: QuantizedWeight, dtype: torch.dtype) -> None:
        self.variant = weight.variant
        self.dtype = dtype
        self.shape = weight.shape
        self.width = weight.shape[1]
        self._packed = _pack(weight.values) if self.variant.bits == 4 else weight.values
        self._scales, self._zeros = weight.scales, weight.zeros
        block = BLOCK.get(weight.values.device.type, LARGE_BLOCK)
        self._step = max(1, block // self.width)

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        return None

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> Reference:
        return Reference(weight, dtype)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self._packed, self._scales, self._zeros))

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        out = torch.cat([x @ weight.T for weight in self._blocks()], dim=-1)
        return out if added is None else out + added

    def rows(self, indices: Tensor) -> Tensor:
        return self._dequantize(indices.flatten()).reshape(*indices.shape, self.width)

    def _blocks(self) -> Iterator[Tensor]:
        for start in range(0, len(self._packed), self._step):
            yield self._dequantize(slice(start, start + self._step))

    def _dequantize(self, rows: slice | Tensor) -> Tensor:
        """`QuantizedWeight.dequantize` of some rows, (rows, k), in place so that a block never leaves the cache."""
        packed, scales, zeros = self._packed[rows], self._scales[rows], self._zeros[rows]
        values = _unpack(packed, self.width) if self.variant.bits == 4 else packed
        grouped = values.float().unflatten(1, (scales.shape[1], -1))
        weight: Tensor = grouped.sub_(zeros[:, :, None]).mul_(scales[:, :, None])
        return weight.flatten(1).to(self.dtype)


def _pack(values: Tensor) -> Tensor:
    """(n, k) to (n, k / 2 rounded up): the first half of a row in the low bits, the second in the high ones."""
    half = (values.shape[1] + 1) // 2
    low, high = values[:, :half], values[:, half:]
    return low | F.pad(high, (0, half - high.shape[1])) << 4


def _unpack(packed: Tensor, width: int) -> Tensor:
    return torch.cat([packed & 15, packed >> 4], dim=1)[:, :width]
