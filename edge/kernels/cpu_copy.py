"""INT4 on a CPU with a copy of the matrix in INT8 beside it, which many rows are multiplied with.

One byte more a weight, for those who have the memory: a question and a new group then need no unpacking. Few rows,
such as the next token, still read the four bits. Off unless the environment says `EDGE_INT8_COPY=1`.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from edge.kernels import int8_rows
from edge.kernels.cpu import Cpu, Int4Weight
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

VARIABLE = "EDGE_INT8_COPY"


def is_asked_for() -> bool:
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def describe() -> str:
    """How quantized weights are multiplied on this CPU in bfloat16, for people."""
    if not int8_rows.is_fast():
        return "PyTorch's products; many rows unpacked first, since this processor has no VNNI"
    if is_asked_for():
        return f"PyTorch's products; many rows in INT8, INT4 by a copy, since {VARIABLE} is set"
    return (
        f"PyTorch's products; many rows in INT8, INT4 unpacked first ({VARIABLE}=1: by a copy, one byte more a weight)"
    )


class CpuCopy:
    device = "cpu"

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if variant.bits != 4:
            return "is for INT4."
        if not is_asked_for():
            return f"is off; {VARIABLE}=1 makes many rows faster, with one byte more a weight."
        if not int8_rows.is_fast():
            return "needs VNNI, which this processor does not have."
        return Cpu.refusal(variant, shape, dtype, device)

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> CopiedWeight:
        return CopiedWeight(weight)


class CopiedWeight(Int4Weight):
    """The copy is of the same numbers, rounded once more to one scale a row: by 1/254 of the row's largest, at most."""

    few_rows = 16  # as many as a draft has: what checks it must be what would have written it

    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(weight)
        self._numbers, self._steps = int8_rows.round_matrix(weight.dequantize())

    def _many(self, x: Tensor) -> Tensor:
        return int8_rows.product(x, self._numbers, self._steps, self._unrounded)
