"""Few rows times a matrix of four- or eight-bit numbers where nothing multiplies bfloat16: every x86 CPU with AVX2.

Rows come as integers of sixteen bits (fixed_point.py), in two bytes; a matrix's numbers are bytes from 0 on. So a
product is one of bytes, of which the processor takes 32 at a time: with VNNI in one instruction, without it in three.
Sums of integers have no rounding and no order; only a group's total becomes a float32, and is scaled. (64 at a time,
with AVX-512, took half as long again on a Cascade Lake.)

What the numbers are counted from (8, or 128) is left out of the products, and taken off each group's total: the sum of
the row's own numbers times that.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge.kernels.jit.ir import BYTES, Function
from edge.kernels.jit.row_products import AHEAD, CHUNK, ROWS

POINTERS = ("high", "low", "sums", "steps", "numbers", "scales", "out")
NUMBERS = ("blocks", "groups", "chunks", "m", "n", "k", "row_bytes")
LANES = 8  # sums of a row of the matrix, side by side
FLOATS, INTS, PAIRS = f"<{LANES} x float>", f"<{LANES} x i32>", "<16 x i16>"
BLOCK, BLOCK_HALVES = f"<{ROWS} x float>", f"<{ROWS} x half>"
MOST_COLUMNS = 2  # more sums than that, and the registers do not hold them


def integer_product(bits: int, group: int, columns: int, vnni: bool) -> str:
    """LLVM text of rows (m, k), as `fixed_point` makes them, times numbers' transpose to out (m, n) bfloat16. Numbers
    and scales, `group` and `columns` are those of `row_products.row_product`."""
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    halves = 2 if bits == 4 and group == CHUNK else 1  # scales to a chunk
    cells = [(row, column) for row in range(ROWS) for column in range(columns)]
    sums = {(*cell, half, byte): f.slot(INTS) for cell in cells for half in range(halves) for byte in range(2)}
    totals, taken = {cell: f.slot(FLOATS) for cell in cells}, [f.slot(BLOCK) for _ in range(columns)]
    with f.share(a["blocks"]) as block:
        first, per_row = f.times(block, ROWS), f.times(a["groups"], halves)
        numbers = f.at("i8", a["numbers"], f.times(first, a["row_bytes"]))
        scales = f.at(BLOCK_HALVES, a["scales"], f.times(block, per_row))
        with f.loop(0, a["m"], columns) as m:
            its = [f.add(m, column) for column in range(columns)]
            x = [[f.at("i8", a[part], f.times(row, a["k"])) for part in ("high", "low")] for row in its]
            of_x = [f.at("float", a["sums"], f.times(row, per_row)) for row in its]
            _clear(f, FLOATS, totals.values())
            _clear(f, BLOCK, taken)
            with f.loop(0, a["groups"]) as group_:
                _clear(f, INTS, sums.values())
                start = f.times(group_, a["chunks"])
                with f.loop(0, a["chunks"]) as chunk:
                    _add_chunk(f, bits, f.add(start, chunk), x, numbers, sums, halves, vnni)
                for half in range(halves):
                    place = f.add(f.times(group_, halves), half)
                    stored = f.op(f"load {BLOCK_HALVES}, ptr {f.at(BLOCK_HALVES, scales, place)}, align 2")
                    block_scales = f.op(f"fpext {BLOCK_HALVES} {stored} to {BLOCK}")
                    for row, column in cells:
                        scale = _spread(f, block_scales, row)
                        _add_group(f, totals[row, column], [sums[row, column, half, byte] for byte in range(2)], scale)
                    for column in range(columns):
                        off = f.spread(f.get("float", f.at("float", of_x[column], place)), ROWS)
                        _multiply_add(f, BLOCK, ROWS, taken[column], off, block_scales)
            for row, column in cells:
                less = f.op(f"extractelement {BLOCK} {f.get(BLOCK, taken[column])}, i64 {row}")
                total = f.op(f"fsub float {f.total(f.get(FLOATS, totals[row, column]), LANES)}, {less}")
                step = f.get("float", f.at("float", a["steps"], its[column]))
                place = f.at("i16", a["out"], f.times(its[column], a["n"]), f.add(first, row))
                f.set("i16", place, f.rounded(f.op(f"fmul float {total}, {step}")))
    return str(f)


def _clear(f: Function, kind: str, slots: Iterable[str]) -> None:
    for slot in slots:
        f.set(kind, slot, "zeroinitializer")


def _add_chunk(
    f: Function, bits: int, chunk: str, x: list[list[str]], numbers: str,
    sums: dict[tuple[int, int, int, int], str], halves: int, vnni: bool,
) -> None:  # fmt: skip
    """32 bytes of each row of the matrix, with what belongs to them of each row of x."""
    parts = 2 if bits == 4 else 1  # of 32 numbers
    start = f.times(chunk, CHUNK * parts)
    of_x = [[[_load(f, f.at("i8", byte, start, CHUNK * part)) for byte in each] for part in range(parts)] for each in x]
    for row in range(ROWS):
        place = f.at("i8", numbers, f.times(chunk, CHUNK * ROWS), CHUNK * row)
        if row % 2 == 0:
            f.prefetch(f.at("i8", place, AHEAD))
        both = _load(f, place)
        low, high = f.op(f"and {BYTES} {both}, splat (i8 15)"), f.op(f"lshr {BYTES} {both}, splat (i8 4)")
        for column, those in enumerate(of_x):
            for byte in range(2):
                if bits == 4:
                    for part, nibbles in enumerate((low, high)):
                        _add(f, sums[row, column, part % halves, byte], nibbles, those[part][byte], vnni)
                elif vnni:
                    unsigned = f.op(f"xor {BYTES} {both}, splat (i8 -128)")
                    _add(f, sums[row, column, 0, byte], unsigned, those[0][byte], vnni)
                else:
                    _add_nibbles(f, sums[row, column, 0, byte], low, high, those[0][byte])


def _add(f: Function, sum_: str, unsigned: str, signed: str, vnni: bool) -> None:
    before = f.get(INTS, sum_)
    if vnni:
        one, other = (f.op(f"bitcast {BYTES} {value} to {INTS}") for value in (unsigned, signed))
        after = f.op(f"call {INTS} @llvm.x86.avx512.vpdpbusd.256({INTS} {before}, {INTS} {one}, {INTS} {other})")
    else:
        after = f.op(f"add {INTS} {before}, {_fours(f, unsigned, signed)}")
    f.set(INTS, sum_, after)


def _add_nibbles(f: Function, sum_: str, low: str, high: str, signed: str) -> None:
    """Eight bits without VNNI: two products of whole bytes do not fit into sixteen bits, those of nibbles do."""
    flipped = f.op(f"xor {BYTES} {high}, splat (i8 8)")  # int8 counted from -128
    upper = f.op(f"shl {INTS} {_fours(f, flipped, signed)}, splat (i32 4)")
    both = f.op(f"add {INTS} {_fours(f, low, signed)}, {upper}")
    f.set(INTS, sum_, f.op(f"add {INTS} {f.get(INTS, sum_)}, {both}"))


def _fours(f: Function, nibbles: str, signed: str) -> str:
    """Sums of four products."""
    pairs = f.op(f"call {PAIRS} @llvm.x86.avx2.pmadd.ub.sw({BYTES} {nibbles}, {BYTES} {signed})")
    return f.op(f"call {INTS} @llvm.x86.avx2.pmadd.wd({PAIRS} {pairs}, {PAIRS} splat (i16 1))")


def _add_group(f: Function, total: str, sums: list[str], scale: str) -> None:
    high, low = (f.op(f"sitofp {INTS} {f.get(INTS, sum_)} to {FLOATS}") for sum_ in sums)
    whole = f.op(f"call {FLOATS} @llvm.fma.v8f32({FLOATS} {high}, {FLOATS} splat (float 256.0), {FLOATS} {low})")
    _multiply_add(f, FLOATS, LANES, total, whole, scale)


def _multiply_add(f: Function, kind: str, width: int, slot: str, one: str, other: str) -> None:
    before = f.get(kind, slot)
    f.set(kind, slot, f.op(f"call {kind} @llvm.fma.v{width}f32({kind} {one}, {kind} {other}, {kind} {before})"))


def _spread(f: Function, scales: str, row: int) -> str:
    """A block's scale of one row in all lanes."""
    places = ", ".join([f"i32 {row}"] * LANES)
    return f.op(f"shufflevector {BLOCK} {scales}, {BLOCK} poison, <{LANES} x i32> <{places}>")


def _load(f: Function, place: str) -> str:
    return f.op(f"load {BYTES}, ptr {place}, align 1")
