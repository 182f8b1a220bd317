"""Rows of bfloat16 scaled to unit mean square, each in one go: PyTorch takes eight operations, of which each costs more
to begin than a row takes.

Squares are added in float32, sixteen sums side by side that meet in one order, so that a row does not depend on others.
"""

from __future__ import annotations

from edge.kernels.jit.ir import FLOATS, Function

WIDTH = 16  # numbers at a time
BFLOATS, WORDS = f"<{WIDTH} x bfloat>", f"<{WIDTH} x i16>"
POINTERS = ("x", "weight", "out", "eps")
NUMBERS = ("rows", "width")


def rms_norm() -> str:
    """LLVM text of weight * x / sqrt(mean(x²) + eps), rounded to bfloat16 before the weight and after, as Qwen2 does. x
    and out (rows, width), weight (width), bfloat16; eps is one float32."""
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    squares = f.slot(FLOATS)
    with f.share(a["rows"]) as row:
        start = f.times(row, a["width"])
        x, out = f.at("bfloat", a["x"], start), f.at("bfloat", a["out"], start)
        f.set(FLOATS, squares, "zeroinitializer")
        with f.loop(0, a["width"], WIDTH) as place:
            wide = f.bfloats(x, place)
            before = f.get(FLOATS, squares)
            after = f.op(f"call {FLOATS} @llvm.fma.v16f32({FLOATS} {wide}, {FLOATS} {wide}, {FLOATS} {before})")
            f.set(FLOATS, squares, after)
        width = f.op(f"uitofp i64 {a['width']} to float")
        mean = f.op(f"fdiv float {f.total(f.get(FLOATS, squares))}, {width}")
        shifted = f.op(f"fadd float {mean}, {f.get('float', a['eps'])}")
        root = f.op(f"call float @llvm.sqrt.f32(float {shifted})")
        scale = f.spread(f.op(f"fdiv float 1.0, {root}"))
        with f.loop(0, a["width"], WIDTH) as place:
            scaled = f.op(f"fmul {FLOATS} {f.bfloats(x, place)}, {scale}")
            halved = f.op(f"bitcast {WORDS} {f.rounded(scaled, WIDTH)} to {BFLOATS}")
            rounded = f.op(f"fpext {BFLOATS} {halved} to {FLOATS}")
            weighted = f.op(f"fmul {FLOATS} {rounded}, {f.bfloats(a['weight'], place)}")
            f.set(WORDS, f"{f.at('i16', out, place)}, align 2", f.rounded(weighted, WIDTH))
    return str(f)
