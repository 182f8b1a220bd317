"""INT4 on an ARM CPU, by PyTorch's products behind which its aarch64 builds have Arm's KleidiAI.

Rows of any number are rounded to eight bits as they come, each by a scale of its own: `matmul` is off by half a step
of the row beside each number, and scales of groups are rounded to bfloat16. On other processors the same operators go
number by number: there it is right, and slow, and serves tests alone. Its speed on ARM has not been measured.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor

from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

MACHINES = ("aarch64", "arm64")
SMALLEST_GROUP = 32


class CpuArm:
    """Symmetric INT4."""

    device = "cpu"

    def __init__(self, weight: QuantizedWeight, dtype: torch.dtype) -> None:
        self.variant, self.shape, self._dtype = weight.variant, weight.shape, dtype
        height, width = weight.shape
        group = self.variant.group or width
        self._form = (group, width, height)
        packed = weight.values[:, 0::2] | weight.values[:, 1::2] << 4
        scales = weight.scales.float() if group == width else weight.scales.bfloat16()
        pack = torch.ops.aten._dyn_quant_pack_4bit_weight
        self._packed: Tensor = pack(packed.contiguous(), scales.contiguous(), None, *self._form)

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"multiplies on the CPU, not on {device.type}."
        if (machine := platform.machine()) not in MACHINES:
            return f"is for ARM; this is {machine}."
        if variant.bits != 4 or not variant.symmetric:
            return "is for symmetric INT4."
        if shape[1] % SMALLEST_GROUP or shape[1] % (variant.group or SMALLEST_GROUP):
            return f"takes widths that {SMALLEST_GROUP} and the group divide, not {shape[1]}."
        return None

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> CpuArm:
        return CpuArm(weight, dtype)

    @property
    def nbytes(self) -> int:
        return self._packed.nbytes

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        height, width = self.shape
        flat = x.reshape(-1, width).float().contiguous()
        out: Tensor = torch.ops.aten._dyn_quant_matmul_4bit(flat, self._packed, *self._form)
        out = out.to(self._dtype).reshape(*x.shape[:-1], height)
        return out if added is None else out + added

    def rows(self, indices: Tensor) -> Tensor:
        """What was packed is the library's own, so a row comes out of a product with each unit vector: slow, and off
        by rounding. No layer is asked for it: embeddings have eight bits."""
        columns = self.matmul(torch.eye(self.shape[1], dtype=self._dtype))
        return columns.T[indices.flatten()].reshape(*indices.shape, self.shape[1])
