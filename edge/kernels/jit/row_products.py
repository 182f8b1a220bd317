"""Few rows of bfloat16 times a matrix of four- or eight-bit numbers: what the next token takes.

A nibble is a place in a table of bfloat16 numbers, which AVX-512 looks up 32 at a time; AVX-512 BF16 multiplies pairs
of them and adds up in float32. So no number is rounded that was not before, and some eight instructions take 32 bytes
of the matrix: less time than memory needs to bring them, if they come one after the other. A matrix is stored as it is
read, therefore: (blocks of 4 rows, chunks, 4, 32 bytes). Row after row, it came at half the speed.

Each sum has one order, whatever rows of x are multiplied with it: a row's result is the same to the bit alone and
beside fifteen others.
"""

from __future__ import annotations

import struct

from edge.kernels.jit.ir import BYTES, FLOATS, HALVES, WORDS, Function, words

ROWS = 4  # of a block: their sums do not wait for each other, and share what is read of x
AHEAD = 1024  # bytes that are asked for before they are needed
CHUNK = 32  # bytes of a row
POINTERS = ("x", "numbers", "scales", "out")
NUMBERS = ("blocks", "groups", "chunks", "m", "n", "k", "row_bytes")


def row_product(bits: int, group: int, columns: int) -> str:
    """LLVM text of x (m, k) times numbers' transpose to out (m, n), both bfloat16; scales are float16, and stored as
    the numbers are: (blocks of 4 rows, groups, 4).

    Four bits: 64 numbers of a row take 32 bytes, the first half of them in the low nibbles, and stand for a number less
    8. Eight bits: int8, which count 16 times their high nibble and once their low one.

    Args:
        group: numbers to a scale; 32, where a chunk of four-bit numbers has two, or any multiple of a chunk.
        columns: rows of x at a time; m is a multiple of that.
    """
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    halves = 2 if bits == 4 and group == CHUNK else 1  # scales to a chunk
    sums = [[[f.slot(FLOATS) for _ in range(halves)] for _ in range(columns)] for _ in range(ROWS)]
    totals = [[f.slot(FLOATS) for _ in range(columns)] for _ in range(ROWS)]
    with f.share(a["blocks"]) as block:
        first = f.times(block, ROWS)
        start = f.at("i8", a["numbers"], f.times(first, a["row_bytes"]))
        numbers = [f.at("i8", start, CHUNK * row) for row in range(ROWS)]
        scales = f.at("half", a["scales"], f.times(f.times(first, a["groups"]), halves))
        with f.loop(0, a["m"], columns) as m:
            x = [f.at("bfloat", a["x"], f.times(f.add(m, column), a["k"])) for column in range(columns)]
            _clear(f, [slot for those in totals for slot in those])
            with f.loop(0, a["groups"]) as number:
                _clear(f, [slot for row in sums for those in row for slot in those])
                start = f.times(number, a["chunks"])
                with f.loop(0, a["chunks"]) as chunk:
                    _add_chunk(f, bits, f.add(start, chunk), x, numbers, sums)
                for row in range(ROWS):
                    for half in range(halves):
                        place = f.at("half", scales, f.times(number, halves * ROWS), half * ROWS + row)
                        scale = f.spread(f.op(f"fpext half {f.get('half', place)} to float"))
                        for column in range(columns):
                            _multiply_add(f, totals[row][column], sums[row][column][half], scale)
            for column in range(columns):
                out = f.at("bfloat", a["out"], f.times(f.add(m, column), a["n"]), first)
                for row in range(ROWS):
                    result = f.total(f.get(FLOATS, totals[row][column]))
                    f.set("bfloat", f.at("bfloat", out, row), f.op(f"fptrunc float {result} to bfloat"))
    return str(f)


def _clear(f: Function, slots: list[str]) -> None:
    for slot in slots:
        f.set(FLOATS, slot, "zeroinitializer")


def _add_chunk(
    f: Function, bits: int, chunk: str, x: list[str], numbers: list[str], sums: list[list[list[str]]]
) -> None:
    """32 bytes of each row of the matrix, with what belongs to them of each row of x."""
    parts = 2 if bits == 4 else 1  # of 32 numbers
    tables = (LESS_8, LESS_8) if bits == 4 else (LOW, HIGH)
    start = f.times(chunk, CHUNK * parts)
    of_x = [[f.op(f"load {HALVES}, ptr {f.at('bfloat', each, start, CHUNK * part)}, align 2") for part in range(parts)]
            for each in x]  # fmt: skip
    for row, packed in enumerate(numbers):
        place = f.at("i8", packed, f.times(chunk, CHUNK * ROWS))
        if row % 2 == 0:
            f.prefetch(f.at("i8", place, AHEAD))
        low = f.op(f"zext {BYTES} {f.op(f'load {BYTES}, ptr {place}, align 1')} to {WORDS}")
        high = f.op(f"lshr {WORDS} {low}, splat (i16 4)")
        for part, (nibbles, table) in enumerate(zip((low, high), tables, strict=True)):
            found = f.op(f"call {WORDS} @llvm.x86.avx512.permvar.hi.512({WORDS} {table}, {WORDS} {nibbles})")
            weights = f.op(f"bitcast {WORDS} {found} to {HALVES}")
            for column, those in enumerate(of_x):
                slots = sums[row][column]
                sum_ = slots[part % len(slots)]
                before, factor = f.get(FLOATS, sum_), those[part % parts]
                after = f.op(
                    f"call {FLOATS} @llvm.x86.avx512bf16.dpbf16ps.512"
                    f"({FLOATS} {before}, {HALVES} {weights}, {HALVES} {factor})"
                )
                f.set(FLOATS, sum_, after)


def _multiply_add(f: Function, total: str, sum_: str, scale: str) -> None:
    one, before = f.get(FLOATS, sum_), f.get(FLOATS, total)
    after = f.op(f"call {FLOATS} @llvm.fma.v16f32({FLOATS} {one}, {FLOATS} {scale}, {FLOATS} {before})")
    f.set(FLOATS, total, after)


def _table(values: list[int]) -> str:
    """Of bfloat16 numbers, twice: the look-up takes five bits, of which a nibble's neighbour has one."""
    found: list[int] = [struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in values]
    return words(found * 2)


LESS_8 = _table([nibble - 8 for nibble in range(16)])
LOW = _table(list(range(16)))
HIGH = _table([16 * (nibble - 16 * (nibble > 7)) for nibble in range(16)])
