"""Four-bit numbers to eight bits with one scale a row: what many rows are multiplied with.

The sixteen numbers that a group knows are rounded once, and every nibble looks its own up, 32 at a time.
"""

from __future__ import annotations

from edge.kernels.jit.ir import BYTES, FLOATS, Function
from edge.kernels.jit.row_products import CHUNK, ROWS

POINTERS = ("numbers", "scales", "inverses", "out")
NUMBERS = ("blocks", "groups", "chunks", "row_bytes")
MINUS_8_TO_7 = "<" + ", ".join(f"float {number}.0" for number in range(-8, 8)) + ">"
TWICE = ", ".join(f"i32 {place % 16}" for place in range(32))  # the look-up works in two halves of sixteen


def unpack(group: int) -> str:
    """LLVM text of numbers (n, k / 2) with scales, as `row_product` has them, to out (n, k) int8 in the same order:
    what each stands for, times its row's inverse (n,) float32, rounded. That must lie between -127.5 and 127.5."""
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    with f.share(a["blocks"]) as block:
        unpack_block(f, group, block, f.at("i8", a["out"], f.times(f.times(block, 2 * ROWS), a["row_bytes"])))
    return str(f)


def unpack_block(f: Function, group: int, block: str, out: str) -> None:
    """The four rows of that block to `out`, within a function that has `numbers`, `scales`, `inverses`, `groups`,
    `chunks` and `row_bytes`."""
    a = f.arguments
    halves = 2 if group == CHUNK else 1
    first = f.times(block, ROWS)
    of_block = f.at("i8", a["numbers"], f.times(first, a["row_bytes"]))
    its_scales = f.at("half", a["scales"], f.times(f.times(first, a["groups"]), halves))
    with f.loop(0, str(ROWS)) as place:
        inverse = f.get("float", f.at("float", a["inverses"], f.add(first, place)))
        numbers, to_row = (f.at("i8", base, f.times(place, CHUNK)) for base in (of_block, out))
        scales = f.at("half", its_scales, place)
        with f.loop(0, a["groups"]) as group_:
            of_group = f.at("half", scales, f.times(group_, halves * ROWS))
            places = [f.at("half", of_group, half * ROWS) for half in range(halves)]
            tables = [_table(f, f.get("half", its), inverse) for its in places]
            start = f.times(group_, a["chunks"])
            with f.loop(0, a["chunks"]) as chunk:
                at = f.times(f.add(start, chunk), CHUNK * ROWS)
                both = f.op(f"load {BYTES}, ptr {f.at('i8', numbers, at)}, align 1")
                low = f.op(f"and {BYTES} {both}, splat (i8 15)")
                high = f.op(f"lshr {BYTES} {both}, splat (i8 4)")
                for half, nibbles in enumerate((low, high)):
                    table = tables[half % halves]
                    found = f.op(f"call {BYTES} @llvm.x86.avx2.pshuf.b({BYTES} {table}, {BYTES} {nibbles})")
                    to = f.at("i8", to_row, f.times(at, 2), half * CHUNK * ROWS)
                    f.set(BYTES, f"{to}, align 1", found)


def _table(f: Function, scale: str, inverse: str) -> str:
    ratio = f.op(f"fmul float {f.op(f'fpext half {scale} to float')}, {inverse}")
    scaled = f.op(f"fmul {FLOATS} {MINUS_8_TO_7}, {f.spread(ratio)}")
    whole = f.op(f"call {FLOATS} @llvm.rint.v16f32({FLOATS} {scaled})")
    table = f.op(f"fptosi {FLOATS} {whole} to <16 x i8>")
    return f.op(f"shufflevector <16 x i8> {table}, <16 x i8> poison, <32 x i32> <{TWICE}>")
