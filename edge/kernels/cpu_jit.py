"""INT4 and INT8 on an x86 CPU with AVX2 or more, by programs that are made for it when a model is loaded (jit/).

One to sixteen rows are multiplied with the numbers as they are packed, at the speed at which memory brings them: in
bfloat16 where the processor has that (AVX-512 BF16), as integers of sixteen bits elsewhere. Many rows are rounded to
eight bits, and so are four-bit numbers, a strip of the matrix at a time; without VNNI the whole matrix is, and becomes
float32 (int8_rows.py).

`matmul` of few rows equals `x @ weight.dequantize().T` but for the sums' rounding in float32, the result's to bfloat16
and, as integers, x's by less than 2⁻¹⁶ of its row's largest; of many rows it is off by half a step of the row, and of
the matrix's row, beside each number.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.kernels import int8_rows
from edge.kernels.jit import (
    byte_products,
    byte_rows,
    fixed_point,
    integer_products,
    machine_code,
    row_products,
    team,
    unpacking,
)
from edge.kernels.jit.integer_products import MOST_COLUMNS
from edge.kernels.jit.row_products import CHUNK, ROWS
from edge.kernels.workspace import workspace
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

FEW = 16  # rows, as many as a draft has: what checks it must be what would have written it
ALONE = 1  # rows that one thread rounds sooner than it could call the others
FLOAT = 4  # bytes
STRIP = 288 << 10  # bytes of the matrix that a core's own cache has room for, beside the rows
HIGHEST = 16  # blocks of a strip
SUMMED = 256  # blocks at a time: a sum may take a copy of what it adds up
LEAST_STEP = torch.tensor(int8_rows.LEAST_STEP)
MIDDLE = 8  # what a four-bit number is counted from


class CpuJit:
    device = "cpu"

    @staticmethod
    def refusal(variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"multiplies on the CPU, not on {device.type}."
        if dtype != torch.bfloat16:
            return f"multiplies bfloat16, not {str(dtype).removeprefix('torch.')}."
        if not variant.symmetric:
            return "is for symmetric variants."
        if variant.bits == 8 and variant.group is not None:
            return "takes INT8 with one scale a row."
        width = _chunk(variant)
        if shape[1] % width or ((variant.group or width) % width and variant.group != CHUNK):
            return f"takes widths and groups that {width} divides, not {shape[1]} and {variant.group}."
        return _failed_check()

    @staticmethod
    def prepare(weight: QuantizedWeight, dtype: torch.dtype) -> JitWeight:
        return JitInt8Weight(weight) if weight.variant.bits == 8 else JitInt4Weight(weight)


def describe() -> str | None:
    """How quantized weights are multiplied on this CPU in bfloat16, for people; None where others serve."""
    if _failed_check():
        return None
    means = "bfloat16" if machine_code.multiplies_bfloat16() else "16-bit integers"
    many = "INT8" if machine_code.widest_bytes() else "float32"
    return f"programs made for this processor (llvmlite), in {means}; many rows in {many}"


class JitWeight(ABC):
    """In common: numbers (blocks, chunks, rows of a block, bytes) and float16 scales (blocks, groups,
    rows of a block), both as they are read."""

    def __init__(self, weight: QuantizedWeight, numbers: Tensor) -> None:
        """Numbers (n, bytes of a row)."""
        self.variant, self.shape = weight.variant, weight.shape
        self.height, self.width = weight.shape
        self.group = self.variant.group or self.width
        filled = (0, 0, 0, -self.height % (2 * ROWS))
        blocks = F.pad(numbers, filled).unflatten(0, (-1, ROWS)).unflatten(2, (-1, CHUNK))
        self._numbers = blocks.transpose(1, 2).contiguous()
        self._scales = F.pad(weight.scales.half(), filled).unflatten(0, (-1, ROWS)).mT.contiguous()
        # What a product needs to know, found once: a token takes a hundred products.
        blocks, chunks = self._numbers.shape[:2]
        self._kind = _kind(self.variant.bits, self.group)
        groups = chunks if self._kind else self.width // self.group
        self._loops = (blocks, groups, chunks // groups)  # of a row; of the smallest groups a chunk has two
        self._padded, self._row_bytes = len(self._numbers) * ROWS, chunks * CHUNK

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def matmul(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        flat = x.reshape(-1, self.width)
        out = self._few(flat) if len(flat) <= FEW else self._many(flat)
        if self._padded != self.height:
            out = out[:, : self.height]
        out = out.view(*x.shape[:-1], self.height) if out.is_contiguous() else out.reshape(*x.shape[:-1], self.height)
        return out if added is None else out + added

    def rows(self, indices: Tensor) -> Tensor:
        flat = indices.flatten()
        block, place = flat // ROWS, flat % ROWS
        numbers = self._unpacked(self._numbers[block, :, place]).unflatten(1, (-1, self.group))
        found: Tensor = numbers * self._scales[block, :, place, None].float()
        return found.bfloat16().reshape(*indices.shape, self.width)

    def _few(self, x: Tensor) -> Tensor:
        """As many rows as there are, each as if it were alone."""
        x, out = x.contiguous(), torch.empty(len(x), self._padded, dtype=torch.bfloat16)
        multiply = self._few_floats if machine_code.multiplies_bfloat16() else self._few_integers
        multiply(x, out)
        return out

    def _few_floats(self, x: Tensor, out: Tensor) -> None:
        count = len(x)
        columns = 4 if count % 4 == 0 else 2 if count % 2 == 0 else 1
        addresses = (x.data_ptr(), self._numbers.data_ptr(), self._scales.data_ptr(), out.data_ptr())
        program = _row_product(self.variant.bits, self._kind, columns)
        team.run(program, (*addresses, *self._loops, count, self._padded, self.width, self._row_bytes))

    def _few_integers(self, x: Tensor, out: Tensor) -> None:
        count, groups = len(x), self.width // self.group
        whole = torch.empty(2, count, self.width, dtype=torch.int8)  # high and low bytes
        of_rows = torch.empty(count * (groups + 1))  # their groups' sums, and their steps
        high, sums = whole.data_ptr(), of_rows.data_ptr()
        made = (high, high + count * self.width, sums, sums + FLOAT * count * groups)
        rounding, call = _fixed_point()
        arguments = (x.data_ptr(), *made, count, groups, self.group, self.variant.middle)
        team.run(rounding, arguments) if count > ALONE else call((ctypes.c_int64 * len(arguments))(*arguments))
        columns = MOST_COLUMNS if count % MOST_COLUMNS == 0 else 1
        program = _integer_product(self.variant.bits, self._kind, columns, machine_code.multiplies_bytes())
        addresses = (*made, self._numbers.data_ptr(), self._scales.data_ptr(), out.data_ptr())
        team.run(program, (*addresses, *self._loops, count, self._padded, self.width, self._row_bytes))

    def _many(self, x: Tensor) -> Tensor:
        if not machine_code.widest_bytes():
            return int8_rows.product(x, self.in_eight_bits(), self._steps, self._few)
        x = x.contiguous()
        count, vector = len(x), machine_code.widest_bytes()
        rounded, of_rows = torch.empty(count, self.width, dtype=torch.uint8), torch.empty(2, count)
        x_steps, squares = of_rows
        addresses = [tensor.data_ptr() for tensor in (x, rounded, x_steps, squares, LEAST_STEP)]
        team.run(_byte_rows(), (*addresses, count, self.width))

        out = torch.empty(count, self._padded, dtype=torch.bfloat16)
        height, strips = self._strips()
        scratch = workspace((torch.get_num_threads(), height * ROWS, self.width), torch.int8)
        tensors = (rounded, x_steps, self._numbers, self._scales, self._inverses, self._float_steps, self._offsets)
        addresses = [tensor.data_ptr() for tensor in (*tensors, scratch, out)]
        program = _byte_product(self.variant.bits, self._kind, vector, count % byte_products.COLUMNS[vector])
        sizes = (*self._loops, self._row_bytes, count, self._padded, self.width, height, strips)
        team.run(program, (*addresses, *sizes))
        return int8_rows.mend_towering(out, x, x_steps, squares, self._few)

    def _strips(self) -> tuple[int, int]:
        """Blocks of a strip, an even number, and how many strips there are: some for every thread."""
        blocks = self._loops[0]
        fit = min(HIGHEST, STRIP // (ROWS * self.width), blocks // torch.get_num_threads())
        height = max(2, fit // 2 * 2)
        return height, -(-blocks // height)

    def _take_steps(self, steps: Tensor, inverses: Tensor) -> None:
        """What many rows need of a matrix: the step of each row in eight bits (n padded,) bfloat16, what four-bit
        numbers are multiplied by to get there, and the sums of the eight-bit numbers."""
        self._steps, self._float_steps, self._inverses = steps, steps.float(), inverses
        parts = self._blocks_in_eight_bits().split(SUMMED)
        sums = torch.cat([part.sum((1, 3), dtype=torch.int32) for part in parts])
        self._offsets = sums.flatten() * byte_rows.ZERO

    def in_eight_bits(self) -> Tensor:
        """(n padded, k) int8, overwritten by the next one's."""
        out = workspace((self._padded, self.width), torch.int8)
        blocks = self._blocks_in_eight_bits()
        out.view(-1, ROWS, blocks.shape[1], CHUNK).copy_(blocks.transpose(1, 2))
        return out

    @abstractmethod
    def _blocks_in_eight_bits(self) -> Tensor:
        """The same as they are stored, (blocks, chunks, rows of a block, numbers)."""

    @abstractmethod
    def _unpacked(self, rows: Tensor) -> Tensor:
        """Rows (rows, chunks, bytes) before their scales, (rows, k) float32."""


class JitInt8Weight(JitWeight):
    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(weight, (weight.values ^ 128).view(torch.int8))
        self._take_steps(self._scales.flatten().bfloat16(), torch.empty(0))

    def _blocks_in_eight_bits(self) -> Tensor:
        numbers: Tensor = self._numbers
        return numbers

    def _unpacked(self, rows: Tensor) -> Tensor:
        return rows.flatten(1).float()


class JitInt4Weight(JitWeight):
    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(weight, _packed(weight.values))
        largest = self._scales.float().abs().amax(1).flatten()
        steps = (largest * MIDDLE / int8_rows.TOP).bfloat16()
        self._take_steps(steps, steps.float().reciprocal().nan_to_num_(posinf=0.0))

    def _blocks_in_eight_bits(self) -> Tensor:
        out = torch.empty(len(self._numbers), 2 * self._numbers.shape[1], ROWS, CHUNK, dtype=torch.int8)
        pointers = [tensor.data_ptr() for tensor in (self._numbers, self._scales, self._inverses, out)]
        team.run(_unpacking(self._kind), [*pointers, *self._loops, self._row_bytes])
        return out

    def _unpacked(self, rows: Tensor) -> Tensor:
        return torch.stack([rows & 15, rows >> 4], dim=2).flatten(1).float().sub_(MIDDLE)


@cache
def _row_product(bits: int, group: int, columns: int) -> int:
    return machine_code.compiled(row_products.row_product(bits, group, columns))


@cache
def _integer_product(bits: int, group: int, columns: int, vnni: bool) -> int:
    return machine_code.compiled(integer_products.integer_product(bits, group, columns, vnni))


@cache
def _fixed_point() -> tuple[int, team.Program]:
    program = machine_code.compiled(fixed_point.fixed_point())
    return program, team.alone(program)


@cache
def _byte_rows() -> int:
    return machine_code.compiled(byte_rows.byte_rows())


@cache
def _byte_product(bits: int, group: int, vector: int, rest: int) -> int:
    return machine_code.compiled(byte_products.byte_product(bits, group, vector, rest))


@cache
def _unpacking(group: int) -> int:
    return machine_code.compiled(unpacking.unpack(group))


def _chunk(variant: Variant) -> int:
    """Numbers that a program takes of a row at a time."""
    return CHUNK * (8 // variant.bits)


def _kind(bits: int, group: int) -> int:
    """What a program must know of a group's size: all are alike but those of which a chunk holds two."""
    return group if bits == 4 and group == CHUNK else 0


def _packed(values: Tensor) -> Tensor:
    """(n, k) to (n, k / 2): of each 64 numbers the first half in the low nibbles."""
    low, high = values.unflatten(1, (-1, 2, CHUNK)).unbind(2)
    packed: Tensor = (low | high << 4).flatten(1)
    return packed


@cache
def _failed_check() -> str | None:
    """Why the programs of this processor cannot be trusted, or None: they have multiplied a small matrix rightly."""
    if reason := machine_code.refusal():
        return reason
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(FEW + 7, 256, generator=generator).bfloat16()
    for variant in (Variant(4, 128), Variant(4, 32), Variant(8, None)):
        values = torch.randint(variant.top + 1, (12, 256), generator=generator).byte()
        scales = torch.rand(12, variant.num_groups(256), generator=generator).add_(0.5).half()
        weight = QuantizedWeight(variant, values, scales, torch.full_like(scales, variant.middle).byte())
        try:
            kernel = CpuJit.prepare(weight, torch.bfloat16)
            few, many = kernel.matmul(x[:7]).float(), kernel.matmul(x).float()
        except Exception as error:  # LLVM's, whatever it is: another kernel serves
            return f"cannot be made here: {error}."
        right = x.float() @ weight.dequantize().T
        largest = right.abs().max().item()
        is_right = torch.allclose(few, right[:7], rtol=2**-7, atol=2**-10 * largest)
        if not is_right or not torch.allclose(many, right, rtol=2**-7, atol=2**-5 * largest):  # rounded to eight bits
            return f"multiplies {variant} wrongly on this processor."
    return None
