"""Products with a quantized matrix. A kernel is one file and one line in `KERNELS`.

A kernel is prepared once from a layer's numbers, on the device where they are, and multiplies from then on.
It knows no file format, no method and no layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edge.errors import UnknownKernel
from quantize.quantized_weight import QuantizedWeight
from quantize.registry import resolve
from quantize.variant import Variant

# From the one that takes everything to the fastest; "auto" asks them from the end.
KERNELS = {
    "reference": "edge.kernels.reference:Reference",
    "cpu": "edge.kernels.cpu:Cpu",
    "cpu-copy": "edge.kernels.cpu_copy:CpuCopy",
    "cpu-arm": "edge.kernels.cpu_arm:CpuArm",
    "cpu-jit": "edge.kernels.cpu_jit:CpuJit",
    "cuda": "edge.kernels.cuda:Cuda",
}


class Kernel(Protocol):
    variant: Variant
    shape: tuple[int, int]  # (n, k) of the matrix

    @property
    def nbytes(self) -> int:
        """Memory held."""
        ...

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x (..., k), of the dtype it was prepared for, times the transposed matrix: (..., n). `added` to that: a bias
        (n,), or numbers of the result's shape."""
        ...

    def rows(self, indices: Tensor) -> Tensor:
        """Rows of the matrix: indices (...) to (..., k)."""
        ...


class KernelMaker(Protocol):
    """What `KERNELS` names."""

    device: str | None  # the kind of device that it was made for, where "auto" asks for it; None: every kind

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        """Why another kernel should multiply x of `dtype` with an (n, k) matrix of this variant, or None."""
        ...

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> Kernel: ...


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    maker: KernelMaker
    reason: str  # why it is not the one asked for, or not the fastest; empty when it is


def choose(name: str, variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Choice:
    """The kernel of that name (or import path), or for "auto" the fastest; where it refuses, the next, at last
    `reference`, which refuses nothing. Raises UnknownKernel."""
    wanted = list(reversed(KERNELS)) if name == "auto" else [name, "reference"]
    refusals: list[str] = []
    for candidate in wanted:
        maker: KernelMaker = resolve(candidate, KERNELS, "kernel", UnknownKernel)
        if name == "auto" and maker.device not in (None, device.type):
            continue
        refusal = maker.refusal(variant, shape, dtype, device)
        if refusal is None:
            return Choice(candidate, maker, " ".join(refusals))
        refusals.append(f"{candidate}: {refusal}")
    raise AssertionError("the reference kernel refuses nothing")
