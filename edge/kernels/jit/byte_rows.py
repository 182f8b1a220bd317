"""Rows of bfloat16 as bytes, each row by a step of its own: what `byte_products` multiplies.

The numbers that `int8_rows.product` rounds to, each plus 128: of two bytes that a processor multiplies, one has
no sign.
"""

from __future__ import annotations

from edge.kernels.int8_rows import TOP
from edge.kernels.jit.ir import FLOATS, Function

ZERO = 128  # what stands for 0
WIDTH = 16  # numbers at a time
INTS, SMALL = f"<{WIDTH} x i32>", f"<{WIDTH} x i8>"
POINTERS = ("x", "bytes", "steps", "squares", "least")
NUMBERS = ("rows", "width")


def byte_rows() -> str:
    """LLVM text of x (rows, width) bfloat16 to bytes of that shape, each row's step (rows,) float32 and the sum of its
    squares (rows,) float32; `least` is the address of the smallest step, a float32."""
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    largest, squares = f.slot(FLOATS), f.slot(FLOATS)
    least = f.get("float", a["least"])
    with f.share(a["rows"]) as row:
        start = f.times(row, a["width"])
        x, out = f.at("bfloat", a["x"], start), f.at("i8", a["bytes"], start)
        for slot in (largest, squares):
            f.set(FLOATS, slot, "zeroinitializer")
        with f.loop(0, a["width"], WIDTH) as place:
            numbers = f.bfloats(x, place)
            size = f.op(f"call {FLOATS} @llvm.fabs.v16f32({FLOATS} {numbers})")
            found = f.op(f"call {FLOATS} @llvm.maximum.v16f32({FLOATS} {size}, {FLOATS} {f.get(FLOATS, largest)})")
            f.set(FLOATS, largest, found)
            before = f.get(FLOATS, squares)
            more = f"call {FLOATS} @llvm.fma.v16f32({FLOATS} {numbers}, {FLOATS} {numbers}, {FLOATS} {before})"
            f.set(FLOATS, squares, f.op(more))
        top = f.op(f"call float @llvm.vector.reduce.fmaximum.v16f32({FLOATS} {f.get(FLOATS, largest)})")
        exact = f.op(f"fdiv float {top}, {TOP}.0")
        step = f.op(f"select i1 {f.op(f'fcmp olt float {exact}, {least}')}, float {least}, float {exact}")
        f.set("float", f.at("float", a["steps"], row), step)
        f.set("float", f.at("float", a["squares"], row), f.total(f.get(FLOATS, squares)))
        by = f.spread(step)
        with f.loop(0, a["width"], WIDTH) as place:
            scaled = f.op(f"fdiv {FLOATS} {f.bfloats(x, place)}, {by}")
            whole = f.op(f"call {FLOATS} @llvm.rint.v16f32({FLOATS} {scaled})")
            # `fptosi` of what is no number is anything; frozen, it is at least one and the same.
            ints = f.op(f"freeze {INTS} {f.op(f'fptosi {FLOATS} {whole} to {INTS}')}")
            above = f.op(f"add {INTS} {ints}, splat (i32 {ZERO})")
            f.set(SMALL, f"{f.at('i8', out, place)}, align 1", f.op(f"trunc {INTS} {above} to {SMALL}"))
    return str(f)
