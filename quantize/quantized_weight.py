"""One quantized matrix, unpacked: what every method gives, and every format and kernel takes.

The weight of output n and input k is `scales[n, g] * (values[n, k] - zeros[n, g])`, g being the group of consecutive
inputs that k falls into. Zeros are zero points: the stored number that means 0. Knows no method and no packing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quantize.errors import NotFinite
from quantize.variant import Variant

PORTION = 1 << 20  # numbers that are looked at together


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedWeight:
    variant: Variant
    values: Tensor  # (n, k) uint8, 0 to variant.top
    scales: Tensor  # (n, groups) float16, as they are stored; never zero, may be negative
    zeros: Tensor  # (n, groups) uint8; variant.middle throughout when symmetric

    @property
    def shape(self) -> tuple[int, int]:
        n, k = self.values.shape
        return n, k

    def dequantize(self) -> Tensor:
        """The weights that these numbers mean, (n, k) float32."""
        groups = self.scales.shape[1]
        values = self.values.unflatten(1, (groups, -1)).float()
        weight: Tensor = (values - self.zeros[:, :, None].float()) * self.scales[:, :, None].float()
        return weight.flatten(1)

    def split(self, rows: int) -> Iterator[QuantizedWeight]:
        """The matrix a few rows at a time."""
        for parts in zip(*(part.split(rows) for part in (self.values, self.scales, self.zeros)), strict=True):
            yield QuantizedWeight(self.variant, *parts)

    def equal(self, other: QuantizedWeight) -> bool:
        """Whether every number is the same, to the bit."""
        return self.variant == other.variant and all(
            torch.equal(getattr(self, name), getattr(other, name)) for name in ("values", "scales", "zeros")
        )


def check_finite(name: str, weight: Tensor) -> None:
    """Raises NotFinite naming the layer and the first bad place. A tensor's size makes no difference to the memory."""
    count, first = 0, 0  # how many, and the first in the flattened tensor
    for index, portion in enumerate(weight.flatten().split(PORTION)):
        finite = portion.isfinite()
        if not finite.all():
            first = first if count else index * PORTION + int((~finite).nonzero()[0])
            count += int((~finite).sum())
    if count:
        place = tuple(int(index) for index in np.unravel_index(first, tuple(weight.shape)))
        raise NotFinite(
            f"{name} holds {count} numbers that are not finite, the first {weight[place].item()} at {place}. "
            "The checkpoint is damaged, or was saved after an overflow; fetch it again."
        )
