"""Rows of bfloat16 as integers of sixteen bits, each row by a step of its own: what `integer_products` multiplies.

The largest number of a row is 32512 steps, so every number is off by less than its 2⁻¹⁶th part: a bfloat16 is off by
its own 2⁻⁹th. Sixteen bits are two times eight, 256 * high + low, both signed, since processors multiply bytes.
"""

from __future__ import annotations

from edge.kernels.jit.ir import FLOATS, Function

TOP = 127 * 256
WIDTH = 16  # numbers at a time
INTS, SMALL = f"<{WIDTH} x i32>", f"<{WIDTH} x i8>"
POINTERS = ("x", "high", "low", "sums", "steps")
NUMBERS = ("rows", "groups", "group", "middle")


def fixed_point() -> str:
    """LLVM text of x (rows, groups * group) bfloat16 to high and low int8 of that shape, each row's step (rows,)
    float32, and sums (rows, groups) float32: what a group's numbers come to, times `middle`."""
    f = Function(POINTERS, NUMBERS)
    a = f.arguments
    largest, sum_ = f.slot(FLOATS), f.slot(INTS)
    width = f.times(a["groups"], a["group"])
    middle = f.op(f"uitofp i64 {a['middle']} to float")
    with f.share(a["rows"]) as row:
        start = f.times(row, width)
        x, high, low = f.at("bfloat", a["x"], start), f.at("i8", a["high"], start), f.at("i8", a["low"], start)
        f.set(FLOATS, largest, "zeroinitializer")
        with f.loop(0, width, WIDTH) as place:
            size = f.op(f"call {FLOATS} @llvm.fabs.v16f32({FLOATS} {f.bfloats(x, place)})")
            found = f.op(f"call {FLOATS} @llvm.maximum.v16f32({FLOATS} {size}, {FLOATS} {f.get(FLOATS, largest)})")
            f.set(FLOATS, largest, found)
        top = f.op(f"call float @llvm.vector.reduce.fmaximum.v16f32({FLOATS} {f.get(FLOATS, largest)})")
        f.set("float", f.at("float", a["steps"], row), f.op(f"fdiv float {top}, {TOP}.0"))
        # Of a row of zeros, or of one that is no number at all, nothing is left but its step.
        inverse = f.op(f"fdiv float {TOP}.0, {top}")
        is_usual = f.op(f"fcmp olt float {f.op(f'call float @llvm.fabs.f32(float {inverse})')}, 0x47EFFFFFE0000000")
        by = f.spread(f.op(f"select i1 {is_usual}, float {inverse}, float 0.0"))
        with f.loop(0, a["groups"]) as group:
            f.set(INTS, sum_, "zeroinitializer")
            first = f.times(group, a["group"])
            with f.loop(0, a["group"], WIDTH) as offset:
                place = f.add(first, offset)
                scaled = f.op(f"fmul {FLOATS} {f.bfloats(x, place)}, {by}")
                whole = f.op(f"call {FLOATS} @llvm.rint.v16f32({FLOATS} {scaled})")
                # `fptosi` of what is no number is anything; frozen, it is at least one and the same.
                numbers = f.op(f"freeze {INTS} {f.op(f'fptosi {FLOATS} {whole} to {INTS}')}")
                f.set(INTS, sum_, f.op(f"add {INTS} {f.get(INTS, sum_)}, {numbers}"))
                upper = f.op(f"ashr {INTS} {f.op(f'add {INTS} {numbers}, splat (i32 128)')}, splat (i32 8)")
                for part, to in ((upper, high), (numbers, low)):  # the lowest byte of each
                    f.set(SMALL, f"{f.at('i8', to, place)}, align 1", f.op(f"trunc {INTS} {part} to {SMALL}"))
            total = f.op(f"call i32 @llvm.vector.reduce.add.v16i32({INTS} {f.get(INTS, sum_)})")
            found = f.op(f"fmul float {f.op(f'sitofp i32 {total} to float')}, {middle}")
            f.set("float", f.at("float", a["sums"], f.times(row, a["groups"]), group), found)
    return str(f)
