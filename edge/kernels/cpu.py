"""Products on an x86 CPU in bfloat16.

Knows PyTorch's packed products (`_weight_int4pack_mm_for_cpu`, `_weight_int8pack_mm`) and what is written nowhere
beside them. Both are vectorized for bfloat16 alone: a row of float32 takes twelve to thirty times as long, longer than
to unpack the whole matrix for it (PyTorch 2.13, AVX-512). Both go row by row, so that a row's result does not depend on
the rows beside it, and n rows take n times as long as one; for more than a few, the matrix is unpacked first.

`matmul` equals `x @ weight.dequantize().T` within 3 * 2⁻⁸ of |x| @ (scales * 2^bits).T, the largest that such scales
could give: scales, results, and what is unpacked or scaled in between are rounded to bfloat16, each by 2⁻⁸ at most;
sums are of float32.

Where a processor multiplies eight bits by eight (VNNI), many rows are rounded to eight bits, too, each by a scale of
its own, and multiplied with INT8 numbers as they are: that is off by half a step of the row beside each weight, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.kernels import int8_rows
from edge.kernels.workspace import workspace
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

WHOLE_ROWS = Variant(8, None)  # what the int8 product takes, on every processor
WHOLE = 1 << 25  # numbers of a matrix that are unpacked for one product: the largest of the 2B shape's layers, fused
PIECE = 1 << 20  # numbers that are unpacked at a time, so that they stay in the cache from step to step
MOST_PACKED = 64  # rows that are multiplied with packed numbers
INT4_GROUPS = (256, 128, 64, 32)  # the int4 product takes these
LOW = 15  # the bits of a byte's low nibble
INT4_MIDDLE = 8  # and subtracts this from every number, whatever its zero
INT4_TOGETHER = (64, 32)  # and packs so many rows together, with AVX-512 and with AVX2
ALIGNMENT = 64  # bytes; the int8 product ends the process when its input does not lie on whole vectors


class Cpu:
    device = "cpu"

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"multiplies on the CPU, not on {device.type}."
        if dtype != torch.bfloat16:
            return f"is fast in bfloat16 alone, not in {str(dtype).removeprefix('torch.')}."
        if shape[1] % INT4_GROUPS[-1]:
            return f"takes widths that {INT4_GROUPS[-1]} divides, not {shape[1]}."
        if variant != WHOLE_ROWS and _rows_together() is None:
            return "packs four bits for AVX2 or AVX-512, which this processor does not have."
        return None

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> PackedWeight:
        return Int8Weight(weight) if weight.variant == WHOLE_ROWS else Int4Weight(weight)


class PackedWeight(ABC):
    few_rows: int  # up to here the packed product is faster (measured on a Xeon with AMX)
    _together: int  # rows of the matrix that are packed as one

    def __init__(self, weight: QuantizedWeight) -> None:
        self.variant = weight.variant
        self.height, self.width = self.shape = weight.shape

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        flat = x.reshape(-1, self.width)
        out = self._few(flat.contiguous()) if len(flat) <= self.few_rows else self._many(flat)
        out = out[:, : self.height].reshape(*x.shape[:-1], self.height)
        return out if added is None else out + added

    def rows(self, indices: Tensor) -> Tensor:
        return self._rows(indices.flatten()).bfloat16().reshape(*indices.shape, self.width)

    def _many(self, x: Tensor) -> Tensor:
        return self._unpacked(x)

    def _unrounded(self, x: Tensor) -> Tensor:
        """Rows that have to be multiplied as they are."""
        return (self._few(x) if len(x) <= MOST_PACKED else self._unpacked(x))[:, : self.height]

    def _unpacked(self, x: Tensor) -> Tensor:
        x = x.to(_product_dtype())
        step = max(1, WHOLE // self.width // self._together) * self._together
        parts = [self._product(x, start, start + step) for start in range(0, self.height, step)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    @abstractmethod
    def _few(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def _rows(self, indices: Tensor) -> Tensor:
        """Rows of the matrix, (rows, k) float32."""

    @abstractmethod
    def _product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """With these rows of the matrix; bfloat16."""


class Int8Weight(PackedWeight):
    """Symmetric int8 with one scale for a whole row: what the int8 product takes."""

    few_rows, _together = 16, 1

    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(weight)
        self._values = (weight.values ^ 128).view(torch.int8)  # less 128
        self._scales = weight.scales.flatten().bfloat16()

    def _few(self, x: Tensor) -> Tensor:
        aligned = x if x.data_ptr() % ALIGNMENT == 0 else x.clone()
        out: Tensor = torch.ops.aten._weight_int8pack_mm(aligned, self._values, self._scales)
        return out

    def _many(self, x: Tensor) -> Tensor:
        if not int8_rows.is_fast():
            return self._unpacked(x)
        return int8_rows.product(x, self._values, self._scales, self._unrounded)

    def _rows(self, indices: Tensor) -> Tensor:
        return self._values[indices].float().mul_(self._scales[indices, None])

    def _product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Numbers of eight bits are exact in bfloat16, so scales wait for the sums."""
        values = self._values[start:stop]
        whole = workspace(values.shape, x.dtype).copy_(values)
        return (F.linear(x, whole) * self._scales[start:stop]).bfloat16()


class Int4Weight(PackedWeight):
    """All other variants, for the int4 product: (q - 8) * scale + offset, in groups of 32 to 256.

    A number of eight bits is two of four, q = 16 * high + low: two matrices side by side, and x comes twice.
    """

    few_rows = MOST_PACKED

    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(weight)
        self._together = _rows_together() or 0
        self._places = (16, 1) if self.variant.bits == 8 else (1,)  # what each nibble of a number counts for
        self._group = self.variant.group or next(size for size in INT4_GROUPS if self.width % size == 0)
        self._values = self._pack(weight.values)
        self._affine = self._scales_and_offsets(weight)  # (nibbles, groups, n padded, 2)

    def _few(self, x: Tensor) -> Tensor:
        x = torch.cat([x] * len(self._places), dim=1)
        affine = self._affine.flatten(0, 1)
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._values, self._group, affine)
        return out

    def _rows(self, indices: Tensor) -> Tensor:
        block, place = indices // self._together, indices % self._together
        half = self._together // 2
        packed = self._blocks()[block, :, :, place % half].movedim(0, -1)  # (nibbles, k, rows)
        numbers = _join(torch.where(place < half, packed & LOW, packed >> 4).unbind())
        return self._fill(numbers.float(), numbers, self._affine[:, :, indices]).T

    def _product(self, x: Tensor, start: int, stop: int) -> Tensor:
        """The matrix comes out transposed: so rows that lie together stay together."""
        packed = self._blocks()[start // self._together : stop // self._together]
        affine = self._affine[:, :, start:stop]
        weight = workspace((self.width, affine.shape[2]), x.dtype)
        groups = max(1, PIECE // weight.shape[1] // self._group)
        for first, those in enumerate(affine.split(groups, dim=1)):
            columns = slice(first * groups * self._group, (first + 1) * groups * self._group)
            nibbles = [_spread(packed[:, place, columns]) for place in range(len(self._places))]
            self._fill(weight[columns], _join(nibbles), those)
        return (x @ weight).bfloat16()

    def _blocks(self) -> Tensor:
        """What was packed, by rows that lie together: (blocks, nibbles, k, half of the rows). Each byte holds a number
        of one row in its low bits, and that of the row half a block further in the high ones."""
        return self._values.view(-1, len(self._places), self.width, self._together // 2)

    def _fill(self, weight: Tensor, numbers: Tensor, affine: Tensor) -> Tensor:
        """Weights (k, n) of numbers and (nibbles, groups, n, 2). A number less its zero is exact in bfloat16, so the
        product alone is rounded."""
        scales, offsets = affine.float().movedim(-1, 0).contiguous()
        by_group = weight.unflatten(0, (-1, self._group))
        if self.variant.symmetric:
            weight.copy_((numbers - self.variant.middle).view(torch.int8))
        else:
            weight.copy_(numbers)
            places = torch.tensor(self._places)[:, None, None]
            zeros = (places * (INT4_MIDDLE - offsets / scales).round()).nan_to_num().sum(0)
            by_group.sub_(zeros[:, None].to(weight.dtype))
        by_group.mul_(scales[-1][:, None].to(weight.dtype))
        return weight

    def _pack(self, values: Tensor) -> Tensor:
        nibbles = torch.cat(self._split(values), dim=1)
        nibbles = F.pad(nibbles, (0, 0, 0, -self.height % self._together))
        # The operator wants every nibble as an int32; a vocabulary's at once would take gigabytes.
        return torch.cat([_packed(part) for part in nibbles.split(16 * self._together)])

    def _scales_and_offsets(self, weight: QuantizedWeight) -> Tensor:
        groups = self.width // self._group
        scales = weight.scales.bfloat16().float().expand(-1, groups)
        parts = []
        for place, zeros in zip(self._places, self._split(weight.zeros), strict=True):
            parts.append(torch.stack([place * scales, place * scales * (INT4_MIDDLE - zeros.float())], dim=-1))
        affine = torch.stack(parts).transpose(1, 2).bfloat16()
        return F.pad(affine, (0, 0, 0, -self.height % self._together)).contiguous()

    def _split(self, values: Tensor) -> list[Tensor]:
        return [values] if len(self._places) == 1 else [values >> 4, values & 15]


def _join(nibbles: Sequence[Tensor]) -> Tensor:
    return nibbles[0] if len(nibbles) == 1 else nibbles[0] << 4 | nibbles[1]


def _spread(packed: Tensor) -> Tensor:
    """Blocks of packed bytes, (blocks, k, half of the rows that lie together), to one nibble each, (k, n). Eight bytes
    are moved at a time: what goes byte by byte takes several times as long."""
    words = packed.view(torch.int64).transpose(0, 1).contiguous()
    low = int.from_bytes(bytes([LOW] * 8), "little")
    return torch.stack([words & low, words >> 4 & low], dim=2).view(torch.uint8).flatten(1)


def _packed(nibbles: Tensor) -> Tensor:
    out: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(nibbles.int(), 1)
    return out


@cache
def _rows_together() -> int | None:
    """How many rows are packed together here: with which number what was packed comes out again."""
    nibbles = torch.randint(16, (max(INT4_TOGETHER), 32), generator=torch.Generator().manual_seed(0))
    packed = _packed(nibbles)
    blocks = {rows: packed.view(-1, nibbles.shape[1], rows // 2) for rows in INT4_TOGETHER}
    return next((rows for rows, them in blocks.items() if torch.equal(_spread(them).T, nibbles)), None)


@cache
def _product_dtype() -> torch.dtype:
    """What whole blocks are multiplied in: bfloat16 takes many times what float32 does where nothing helps with it."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
