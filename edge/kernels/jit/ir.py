"""A writer of LLVM's text. Loops keep their counters in memory; LLVM moves them into registers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FLOATS, WORDS, HALVES = "<16 x float>", "<32 x i16>", "<32 x bfloat>"  # 512 bits each
BYTES = "<32 x i8>"

DECLARATIONS = f"""\
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()
declare {FLOATS} @llvm.x86.avx512bf16.dpbf16ps.512({FLOATS}, {HALVES}, {HALVES})
declare {WORDS} @llvm.x86.avx512.permvar.hi.512({WORDS}, {WORDS})
declare {FLOATS} @llvm.fma.v16f32({FLOATS}, {FLOATS}, {FLOATS})
declare {FLOATS} @llvm.rint.v16f32({FLOATS})
declare {BYTES} @llvm.x86.avx2.pshuf.b({BYTES}, {BYTES})
declare {FLOATS} @llvm.fabs.v16f32({FLOATS})
declare {FLOATS} @llvm.maximum.v16f32({FLOATS}, {FLOATS})
declare float @llvm.vector.reduce.fmaximum.v16f32({FLOATS})
declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)
declare <8 x float> @llvm.fma.v8f32(<8 x float>, <8 x float>, <8 x float>)
declare <8 x i32> @llvm.x86.avx512.vpdpbusd.256(<8 x i32>, <8 x i32>, <8 x i32>)
declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <16 x i32>, <16 x i32>)
declare <16 x i16> @llvm.x86.avx2.pmadd.ub.sw({BYTES}, {BYTES})
declare <8 x i32> @llvm.x86.avx2.pmadd.wd(<16 x i16>, <16 x i16>)
declare float @llvm.fabs.f32(float)
declare <4 x float> @llvm.fma.v4f32(<4 x float>, <4 x float>, <4 x float>)
declare float @llvm.sqrt.f32(float)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
"""


class Function:
    """One function `run(ptr %arguments)`, where arguments are 64-bit numbers or addresses, one after the other."""

    def __init__(self, pointers: Sequence[str], numbers: Sequence[str]) -> None:
        self._lines: list[str] = []
        self._count = 0
        self._slots: list[str] = []
        self.arguments: dict[str, str] = {}
        for index, name in enumerate([*pointers, *numbers]):
            place = self.op(f"getelementptr i64, ptr %arguments, i64 {index}")
            self.arguments[name] = self.op(f"load {'ptr' if name in pointers else 'i64'}, ptr {place}")

    def __str__(self) -> str:
        body = "\n".join(f"  {line}" if not line.endswith(":") else line for line in [*self._slots, *self._lines])
        return f"{DECLARATIONS}\ndefine void @run(ptr %arguments) {{\n{body}\n  ret void\n}}\n"

    def op(self, text: str) -> str:
        """The name of what an instruction gives."""
        self._count += 1
        self._lines.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def slot(self, kind: str) -> str:
        """A variable."""
        self._count += 1
        self._slots.append(f"%s{self._count} = alloca {kind}")
        return f"%s{self._count}"

    def set(self, kind: str, slot: str, value: str) -> None:
        self._lines.append(f"store {kind} {value}, ptr {slot}")

    def get(self, kind: str, slot: str) -> str:
        return self.op(f"load {kind}, ptr {slot}")

    def at(self, kind: str, base: str, *indices: str | int) -> str:
        """The address so many elements of a kind further."""
        for index in indices:
            base = self.op(f"getelementptr {kind}, ptr {base}, i64 {index}")
        return base

    def bfloats(self, base: str, place: str) -> str:
        """Sixteen of them from there on, as floats."""
        loaded = self.op(f"load <16 x bfloat>, ptr {self.at('bfloat', base, place)}, align 2")
        return self.op(f"fpext <16 x bfloat> {loaded} to {FLOATS}")

    def prefetch(self, place: str) -> None:
        self._lines.append(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def add(self, one: str | int, other: str | int) -> str:
        return self.op(f"add i64 {one}, {other}")

    def times(self, one: str | int, other: str | int) -> str:
        return self.op(f"mul i64 {one}, {other}")

    def spread(self, number: str, width: int = 16) -> str:
        """One float in all places."""
        kind = f"<{width} x float>"
        first = self.op(f"insertelement {kind} poison, float {number}, i64 0")
        return self.op(f"shufflevector {kind} {first}, {kind} poison, <{width} x i32> zeroinitializer")

    def total(self, floats: str, width: int = 16) -> str:
        """The sum of all: each time the upper half is added to the lower one, so that the order is always one."""
        while width > 1:
            half = width // 2
            lower, upper = (self._part(floats, width, first, half) for first in (0, half))
            floats, width = self.op(f"fadd <{half} x float> {lower}, {upper}"), half
        return self.op(f"extractelement <1 x float> {floats}, i64 0")

    def rounded(self, floats: str, width: int = 0) -> str:
        """Floats (one, or so many) to the 16 bits of bfloat16, to the nearest and to even; without AVX-512 BF16, LLVM
        knows no instruction for that."""
        wide, narrow, kind = (f"<{width} x {each}>" if width else each for each in ("i32", "i16", "float"))
        numbers = {n: f"splat (i32 {n})" if width else str(n) for n in (1, 16, 0x7FFF, 0x7FC0)}
        bits = self.op(f"bitcast {kind} {floats} to {wide}")
        odd = self.op(f"and {wide} {self.op(f'lshr {wide} {bits}, {numbers[16]}')}, {numbers[1]}")
        up = self.op(f"add {wide} {self.op(f'add {wide} {bits}, {numbers[0x7FFF]}')}, {odd}")
        upper = self.op(f"lshr {wide} {up}, {numbers[16]}")
        is_none = self.op(f"fcmp uno {kind} {floats}, {floats}")
        flags = f"<{width} x i1>" if width else "i1"
        found = self.op(f"select {flags} {is_none}, {wide} {numbers[0x7FC0]}, {wide} {upper}")
        return self.op(f"trunc {wide} {found} to {narrow}")

    def _part(self, floats: str, width: int, first: int, count: int) -> str:
        kind, places = f"<{width} x float>", ", ".join(f"i32 {first + place}" for place in range(count))
        return self.op(f"shufflevector {kind} {floats}, {kind} poison, <{count} x i32> <{places}>")

    @contextmanager
    def loop(self, start: str | int, stop: str, step: int = 1) -> Iterator[str]:
        """Gives the counter's value."""
        slot = self.slot("i64")
        self._count += 1
        head, body, end = (f"{name}{self._count}" for name in ("head", "body", "end"))
        self._lines += [f"store i64 {start}, ptr {slot}", f"br label %{head}", f"{head}:"]
        counter = self.get("i64", slot)
        goes_on = self.op(f"icmp ult i64 {counter}, {stop}")
        self._lines += [f"br i1 {goes_on}, label %{body}, label %{end}", f"{body}:"]
        yield counter
        self.set("i64", slot, self.add(counter, step))
        self._lines += [f"br label %{head}", f"{end}:"]

    @contextmanager
    def share(self, count: str) -> Iterator[str]:
        """A loop over this thread's part of `count`, next to each other."""
        me, all_ = (self.op(f"call i32 @omp_get_{name}()") for name in ("thread_num", "num_threads"))
        me, all_ = (self.op(f"zext i32 {number} to i64") for number in (me, all_))
        first = self.op(f"udiv i64 {self.times(me, count)}, {all_}")
        last = self.op(f"udiv i64 {self.times(self.add(me, 1), count)}, {all_}")
        with self.loop(first, last) as counter:
            yield counter


def words(values: Sequence[int]) -> str:
    """A constant of 16-bit numbers."""
    return "<" + ", ".join(f"i16 {value}" for value in values) + ">"
