"""Many rows times a matrix, both as bytes: what a question, a new group and the vision tower take.

A strip of the matrix, so small that a core's own cache holds it, is brought to eight bits once (unpacking.py) and then
multiplied with all rows, six of them with eight of its rows at a time: 24 vectors of sums, which do not wait for each
other, and ten loads between them. Sums of integers have no rounding and no order; their scales come after them.

Rows of x are counted from 128 (byte_rows.py); what that adds to a sum is the same for all rows of x, and is taken off.
"""

from __future__ import annotations

from edge.kernels.jit.ir import Function
from edge.kernels.jit.row_products import CHUNK, ROWS
from edge.kernels.jit.unpacking import unpack_block

VECTORS = 4  # of the matrix at a time
COLUMNS = {64: 6, 32: 2}  # rows of x at a time, by the bytes of a vector: as many as the registers hold sums of
POINTERS = ("x", "x_steps", "numbers", "scales", "inverses", "steps", "offsets", "scratch", "out")
NUMBERS = ("blocks", "groups", "chunks", "row_bytes", "m", "n", "k", "height", "strips")


def byte_product(bits: int, group: int, vector: int, rest: int) -> str:
    """LLVM text of x (m, k) bytes with steps (m,) float32, times numbers' transpose, to out (m, n) bfloat16. Numbers
    and scales are those of `row_products.row_product`, inverses (n,) float32 those of `unpacking`, and steps (n,)
    float32 what one of a row's eight-bit numbers stands for; offsets (n,) int32 are 128 times those numbers' sums.

    Args:
        vector: bytes, 64 or 32.
        rest: m less a multiple of COLUMNS[vector].

    `height` is the blocks of a strip, an even number as `blocks` is; scratch has room for a strip (height * 4, k) of
    bytes for each thread, and is for four bits alone.
    """
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    columns = COLUMNS[vector]
    of_block = f.times(a["k"], ROWS)
    whole = f.op(f"sub i64 {a['m']}, {rest}")
    mine = f.op(f"zext i32 {f.op('call i32 @omp_get_thread_num()')} to i64")
    with f.share(a["strips"]) as strip:
        first = f.times(strip, a["height"])
        count = _smaller(f, a["height"], f.op(f"sub i64 {a['blocks']}, {first}"))
        if bits == 4:
            numbers = f.at("i8", a["scratch"], f.times(f.times(mine, a["height"]), of_block))
            with f.loop(0, count) as block:
                unpack_block(f, group, f.add(first, block), f.at("i8", numbers, f.times(block, of_block)))
        else:
            numbers = f.at("i8", a["numbers"], f.times(first, of_block))
        tiles = f.times(count, ROWS)
        height = f.times(first, ROWS)
        with f.loop(0, whole, columns) as m, f.loop(0, tiles, vector // 8) as row:
            _tile(f, vector, columns, m, f.at("i8", numbers, f.times(row, a["k"])), f.add(height, row))
        if rest:
            with f.loop(0, tiles, vector // 8) as row:
                _tile(f, vector, rest, whole, f.at("i8", numbers, f.times(row, a["k"])), f.add(height, row))
    return str(f)


def _smaller(f: Function, one: str, other: str) -> str:
    return f.op(f"select i1 {f.op(f'icmp ult i64 {one}, {other}')}, i64 {one}, i64 {other}")


def _tile(f: Function, vector: int, columns: int, m: str, numbers: str, n: str) -> None:
    """So many rows of x from m on, times as many rows of the matrix as four vectors have parts of, from n on."""
    a, ints, bytes_ = f.arguments, f"<{vector // 4} x i32>", f"<{vector} x i8>"
    rows = [f.add(m, column) for column in range(columns)]
    x = [f.at("i8", a["x"], f.times(row, a["k"])) for row in rows]
    sums = [[f.slot(ints) for _ in range(VECTORS)] for _ in rows]
    for slot in (slot for those in sums for slot in those):
        f.set(ints, slot, "zeroinitializer")
    in_block = CHUNK * ROWS // vector  # vectors
    blocks = [f.at("i8", numbers, f.times(a["k"], ROWS * block)) for block in range(VECTORS // in_block)]
    with f.loop(0, a["k"], CHUNK) as place:
        start = f.times(place, ROWS)
        those = []
        for index in range(VECTORS):
            at = f.at("i8", blocks[index // in_block], start, vector * (index % in_block))
            those.append(f.op(f"bitcast {bytes_} {f.op(f'load {bytes_}, ptr {at}, align 1')} to {ints}"))
        for column, base in enumerate(x):
            loaded = f.op(f"load <{CHUNK} x i8>, ptr {f.at('i8', base, place)}, align 1")
            of_x = f.op(f"bitcast {bytes_} {_repeated(f, loaded, vector)} to {ints}")
            for index, of_matrix in enumerate(those):
                _multiply_add(f, vector, sums[column][index], of_x, of_matrix)
    few = f"<{vector // 8} x i32>"
    offsets = f.op(f"load {few}, ptr {f.at('i32', a['offsets'], n)}, align 4")
    floats = f"<{vector // 8} x float>"
    steps = f.op(f"load {floats}, ptr {f.at('float', a['steps'], n)}, align 4")
    for column, row in enumerate(rows):
        total = _folded(f, vector, [f.get(ints, slot) for slot in sums[column]])
        exact = f.op(f"sitofp {few} {f.op(f'sub {few} {total}, {offsets}')} to {floats}")
        step = f.spread(f.get("float", f.at("float", a["x_steps"], row)), vector // 8)
        scaled = f.op(f"fmul {floats} {f.op(f'fmul {floats} {exact}, {step}')}, {steps}")
        to = f.at("i16", a["out"], f.times(row, a["n"]), n)
        f.set(f"<{vector // 8} x i16>", f"{to}, align 2", f.rounded(scaled, vector // 8))


def _repeated(f: Function, chunk: str, vector: int) -> str:
    """A vector holds a chunk of one row, or of two."""
    if vector == CHUNK:
        return chunk
    places = ", ".join(f"i32 {place % CHUNK}" for place in range(vector))
    return f.op(f"shufflevector <{CHUNK} x i8> {chunk}, <{CHUNK} x i8> poison, <{vector} x i32> <{places}>")


def _multiply_add(f: Function, vector: int, slot: str, unsigned: str, signed: str) -> None:
    ints = f"<{vector // 4} x i32>"
    name = f"@llvm.x86.avx512.vpdpbusd.{8 * vector}"
    f.set(ints, slot, f.op(f"call {ints} {name}({ints} {f.get(ints, slot)}, {ints} {unsigned}, {ints} {signed})"))


def _folded(f: Function, vector: int, sums: list[str]) -> str:
    """Four vectors, whose halves (of 64 bytes) or wholes (of 32) each belong to one row, to a total for each row."""
    lanes = range(0, vector // 4, 4)  # of 128 bits
    ints = vector // 4
    places = [lane + place for lane in lanes for place in (0, 1, ints, ints + 1)]
    pairs = [_added(f, ints, one, other, places, 2) for one, other in (sums[:2], sums[2:])]
    places = [lane + place for lane in lanes for place in (0, 2, ints, ints + 2)]
    fours = _added(f, ints, pairs[0], pairs[1], places, 1)
    if vector == CHUNK:
        return _added(f, ints, fours, fours, list(range(4)), 4)
    # The first row of each vector lies in the lower half, the second in the upper.
    return _added(f, ints, fours, fours, [8 * (row % 2) + row // 2 for row in range(8)], 4)


def _added(f: Function, ints: int, one: str, other: str, places: list[int], further: int) -> str:
    """The numbers at these places of both, one after the other, plus those so much further."""
    kind = f"<{ints} x i32>"
    parts = [
        f.op(f"shufflevector {kind} {one}, {kind} {other}, <{len(places)} x i32> <{_listed(places, more)}>")
        for more in (0, further)
    ]
    return f.op(f"add <{len(places)} x i32> {parts[0]}, {parts[1]}")


def _listed(places: list[int], more: int) -> str:
    return ", ".join(f"i32 {place + more}" for place in places)
