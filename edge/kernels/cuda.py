"""Products on a CUDA device in sixteen bits, by Triton programs.

Few rows read the packed numbers as they are; for many the matrix is unpacked first, since the matrix units then outdo
what reading less would save. The weights are the same numbers in both: unpacked in float32 and rounded once, as the
reference kernel does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.kernels import triton
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

DTYPES = (torch.bfloat16, torch.float16)
PORTION = 1 << 14  # rows packed at a time: their numbers take four bytes each meanwhile
FEW_ROWS = 64  # up to here reading packed numbers again for every 16 rows is faster than unpacking them


class Cuda:
    device = "cuda"

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"multiplies on a CUDA device, not on {device.type}."
        if dtype not in DTYPES:
            return f"multiplies in bfloat16 and float16, not in {str(dtype).removeprefix('torch.')}."
        if not triton.is_installed():
            return "needs the package triton, which is not installed."
        return None

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> CudaWeight:
        return CudaWeight(weight, dtype)


class CudaWeight:
    def __init__(self, weight: QuantizedWeight, dtype: torch.dtype) -> None:
        from edge.kernels.triton.packing import pack
        from edge.kernels.triton.product import PackedMatrix

        variant = self.variant = weight.variant
        self.height, self.width = self.shape = weight.shape
        self.dtype = dtype
        self._matrix = PackedMatrix(
            words=torch.cat([pack(part.values, variant.bits) for part in weight.split(PORTION)]),
            scales=weight.scales.contiguous(),
            zeros=None if variant.symmetric else weight.zeros.contiguous(),
            bits=variant.bits,
            group=variant.group or self.width,
            middle=variant.middle,
            width=self.width,
        )

    @property
    def nbytes(self) -> int:
        matrix = self._matrix
        return sum(part.nbytes for part in (matrix.words, matrix.scales, matrix.zeros) if part is not None)

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        from edge.kernels.triton.product import multiply, tiling_for
        from edge.kernels.triton.unpacking import unpack_rows

        flat = x.reshape(-1, self.width)
        if added is not None and added.ndim > 1:
            added = added.reshape(-1, self.height).contiguous()
        if len(flat) <= FEW_ROWS:
            out = multiply(flat.contiguous(), self._matrix, added, tiling_for(self._matrix))
        else:
            out = F.linear(flat, unpack_rows(self._matrix, None, self.dtype))
            out = out if added is None else out + added
        return out.reshape(*x.shape[:-1], self.height)

    def rows(self, indices: Tensor) -> Tensor:
        from edge.kernels.triton.unpacking import unpack_rows

        return unpack_rows(self._matrix, indices.flatten(), self.dtype).reshape(*indices.shape, self.width)
