"""Products on an x86 CPU in bfloat16.

Knows PyTorch's packed products (`_weight_int4pack_mm_for_cpu`, `_weight_int8pack_mm`) and what is written nowhere
beside them. Both are vectorized for bfloat16 alone: a row of float32 takes twelve to thirty times as long, longer than
to unpack the whole matrix for it (PyTorch 2.13, AVX-512). Both go row by row, so that a row's result does not depend on
the rows beside it, and n rows take n times as long as one; for more than FEW, the matrix is unpacked block by block.

`matmul` equals `x @ codes.dequantize().T` within 2⁻⁷ of |x| @ (scales * 2^bits).T, the largest that such scales could
give: scales and results are rounded to bfloat16, by 2⁻⁹ at most, as are zeros that are not the middle; sums are
of float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from quantize.codes import Codes
from quantize.variant import Variant

FEW = 48  # rows; up to here the packed products are faster
BLOCK = 1 << 19  # numbers of the matrix that are unpacked at a time, so that they stay in the cache
INT4_GROUPS = (256, 128, 64, 32)  # the int4 product takes these
INT4_MIDDLE = 8  # and subtracts this from every number, whatever its zero
INT4_TOGETHER = (64, 32)  # and packs so many rows together, with AVX-512 and with AVX2
ALIGNMENT = 64  # bytes; the int8 product ends the process when its input does not lie on whole vectors


class Cpu:
    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"multiplies on the CPU, not on {device.type}."
        if dtype != torch.bfloat16:
            return f"is fast in bfloat16 alone, not in {str(dtype).removeprefix('torch.')}."
        if shape[1] % INT4_GROUPS[-1]:
            return f"takes widths that {INT4_GROUPS[-1]} divides, not {shape[1]}."
        if _rows_together() is None:
            return "needs AVX2 or AVX-512, which this processor does not have."
        return None

    @staticmethod
    def prepare(codes: Codes, dtype: torch.dtype) -> Packed:
        return Bytes(codes) if codes.variant == Variant(8, None) else Nibbles(codes)


class Packed(ABC):
    def __init__(self, codes: Codes) -> None:
        self.variant = codes.variant
        self.height, self.width = codes.shape

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def matmul(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.width)
        out = self._few(flat.contiguous()) if len(flat) <= FEW else self._many(flat)
        return out[:, : self.height].reshape(*x.shape[:-1], self.height)

    def rows(self, indices: Tensor) -> Tensor:
        return self._rows(indices.flatten()).bfloat16().reshape(*indices.shape, self.width)

    def _many(self, x: Tensor) -> Tensor:
        x = x.to(_product_dtype())
        return torch.cat([x @ block for block in self._blocks(x.dtype)], dim=1).bfloat16()

    @abstractmethod
    def _few(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _rows(self, indices: Tensor) -> Tensor:
        """Rows of the matrix, (rows, k) float32."""

    @abstractmethod
    def _blocks(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """The transposed matrix, (k, some of n) at a time."""


class Bytes(Packed):
    """Symmetric int8 with one scale for a whole row: what the int8 product takes."""

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes)
        self._values = (codes.values ^ 128).view(torch.int8)  # less 128
        self._scales = codes.scales.flatten().bfloat16()

    def _few(self, x: Tensor) -> Tensor:
        aligned = x if x.data_ptr() % ALIGNMENT == 0 else x.clone()
        out: Tensor = torch.ops.aten._weight_int8pack_mm(aligned, self._values, self._scales)
        return out

    def _rows(self, indices: Tensor | slice) -> Tensor:
        return self._values[indices].float().mul_(self._scales[indices, None])

    def _blocks(self, dtype: torch.dtype) -> Iterator[Tensor]:
        step = max(1, BLOCK // self.width)
        for start in range(0, self.height, step):
            yield self._rows(slice(start, start + step)).to(dtype).T


class Nibbles(Packed):
    """All other variants, for the int4 product: (q - 8) * scale + offset, in groups of 32 to 256.

    A number of eight bits is two of four, q = 16 * high + low: two matrices side by side, and x comes twice.
    """

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes)
        self._together = _rows_together() or 0
        self._places = (16, 1) if self.variant.bits == 8 else (1,)  # what each nibble of a number counts for
        self._group = self.variant.group or next(size for size in INT4_GROUPS if self.width % size == 0)
        self._values = self._pack(codes.values)
        self._affine = self._scales_and_offsets(codes)  # (nibbles * groups, n padded, 2)

    def _few(self, x: Tensor) -> Tensor:
        x = torch.cat([x] * len(self._places), dim=1)
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._values, self._group, self._affine)
        return out

    def _rows(self, indices: Tensor) -> Tensor:
        block, place = indices // self._together, indices % self._together
        half = self._together // 2
        packed = self._values.view(-1, len(self._places) * self.width, half)[block, :, place % half]
        nibbles = torch.where((place < half)[:, None], packed & 15, packed >> 4).T
        return self._dequantize(nibbles[None], self._affine[:, None, indices])[0].T

    def _blocks(self, dtype: torch.dtype) -> Iterator[Tensor]:
        affine = self._affine.unflatten(1, (-1, self._together))
        step = max(1, BLOCK // self.width // self._together)
        for start in range(0, affine.shape[1], step):
            packed = self._values[start * self._together : (start + step) * self._together]
            blocks = self._dequantize(_unpack(packed, self._together), affine[:, start : start + step])
            yield blocks.transpose(0, 1).to(dtype, memory_format=torch.contiguous_format).flatten(1)

    def _dequantize(self, nibbles: Tensor, affine: Tensor) -> Tensor:
        """Nibbles (blocks, nibbles * k, rows) and what makes weights of them, (nibbles * groups, blocks, rows, 2),
        to (blocks, k, rows) float32."""
        scales, offsets = affine.float().unflatten(0, (len(self._places), -1)).unbind(-1)
        shift = offsets.sum(0) - INT4_MIDDLE * scales.sum(0)
        values = nibbles if len(self._places) == 1 else _join(nibbles)
        grouped = values.float().unflatten(1, (-1, self._group))
        weight: Tensor = grouped.mul_(_by_block(scales[-1])).add_(_by_block(shift))
        return weight.flatten(1, 2)

    def _pack(self, values: Tensor) -> Tensor:
        nibbles = torch.cat(self._split(values), dim=1)
        nibbles = F.pad(nibbles, (0, 0, 0, -self.height % self._together))
        # The operator wants every nibble as an int32; a vocabulary's at once would take gigabytes.
        return torch.cat([_packed(part) for part in nibbles.split(16 * self._together)])

    def _scales_and_offsets(self, codes: Codes) -> Tensor:
        groups = self.width // self._group
        scales = codes.scales.bfloat16().float().expand(-1, groups)
        parts = []
        for place, zeros in zip(self._places, self._split(codes.zeros), strict=True):
            parts.append(torch.stack([place * scales, place * scales * (INT4_MIDDLE - zeros.float())], dim=-1))
        affine = torch.cat(parts, dim=1).transpose(0, 1).bfloat16()
        return F.pad(affine, (0, 0, 0, -self.height % self._together)).contiguous()

    def _split(self, values: Tensor) -> list[Tensor]:
        return [values] if len(self._places) == 1 else [values >> 4, values & 15]


def _join(nibbles: Tensor) -> Tensor:
    high, low = nibbles.chunk(2, dim=1)
    return high << 4 | low


def _by_block(numbers: Tensor) -> Tensor:
    """(groups, blocks, rows) to (blocks, groups, 1, rows)."""
    return numbers.transpose(0, 1)[:, :, None].contiguous()


def _packed(nibbles: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(nibbles.int(), 1)
    return out


def _unpack(packed: Tensor, together: int) -> Tensor:
    """What was packed, (n, k / 2) bytes, as blocks of rows that lie together: (n / together, k, together).

    Each byte holds a number of one row in its low bits, and that of the row half a block further in the high ones.
    """
    blocks = packed.view(-1, 2 * packed.shape[1], together // 2)
    return torch.cat([blocks & 15, blocks >> 4], dim=2)


@cache
def _rows_together() -> int | None:
    """How many rows are packed together here: with which number what was packed comes out again."""
    nibbles = torch.randint(16, (max(INT4_TOGETHER), 32), generator=torch.Generator().manual_seed(0))
    packed = _packed(nibbles)
    return next((rows for rows in INT4_TOGETHER if torch.equal(_unpack(packed, rows).mT.flatten(0, 1), nibbles)), None)


@cache
def _product_dtype() -> torch.dtype:
    """What whole blocks are multiplied in: bfloat16 takes many times what float32 does where nothing helps with it."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
