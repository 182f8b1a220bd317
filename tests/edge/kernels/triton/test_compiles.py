"""The programs compile for cards from Ampere to Blackwell, down to machine code; that needs Triton and no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CARDS = {80: "bf16", 120: "bf16"}  # compute capability -> numbers it has

PROGRAM = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from edge.kernels.triton import attention, elementwise, product, unpacking

card, number = int(sys.argv[1]), sys.argv[2]
FLOATS = {"sums": "fp32", "seen": "fp32", "weights": "fp32", "words": "i32", "scales": "fp16", "zeros": "u8",
          "filled": "i64", "rows": "i64"}
SCALARS = {"scale": "fp32", "eps": "fp32"}
MATRIX = {"GROUP": 128, "MIDDLE": 8, "WORDS": 32, "BITS": 4, "NUMBERS": 8, "STRETCH": 256}
POINTERS = {"x", "words", "scales", "zeros", "added", "out", "sums", "q", "keys", "values", "filled", "seen",
            "weights", "weight", "cos", "sin", "k", "v", "kv"}

def shared(program, constants, pointers=POINTERS, warps=4, stages=2):
    def kind(name):
        if name in constants:
            return "constexpr"
        if name in pointers:
            return "*" + FLOATS.get(name, number)
        return SCALARS.get(name, "i32")
    names = program.arg_names
    source = ASTSource(fn=program, signature={name: kind(name) for name in names},
                       constexprs={(names.index(name),): value for name, value in constants.items()})
    options = {"num_warps": warps, "num_stages": stages}
    return triton.compile(source, target=GPUTarget("cuda", card, 32), options=options).metadata.shared

tiles = {"ROWS": 16, "COLUMNS": 64, "IS_WHOLE": True, "zeros": None, "added": None}
needed = {
    "multiply": shared(product._multiply, MATRIX | tiles, stages=4),
    "multiply with zeros and bias": shared(product._multiply, MATRIX | {"ROWS": 16, "COLUMNS": 32, "IS_WHOLE": True},
                                           warps=2, stages=4),
    "unpack": shared(unpacking._unpack, MATRIX | {"ROWS": 16}, POINTERS | {"rows"}),
    "look": shared(attention._look, {"DIM": 128, "ROWS": 128, "STRETCH": attention.STRETCH}),
    "weigh": shared(attention._weigh, {"DIM": 128, "STRETCH": attention.STRETCH, "STRETCHES": 32}),
    "look through": shared(attention._look_through, {"DIM": 128, "ROWS": 64, "TOKENS": 32}),
    "norm": shared(elementwise._rms_norm, {"BLOCK": 2048}),
    "rotate": shared(elementwise._rotate, {"DIM": 128}),
    "swiglu": shared(elementwise._swiglu, {"BLOCK": 1024}),
    "store": shared(elementwise._store, {"DIM": 128}),
}
print(json.dumps(needed))
"""

SHARED_MEMORY = 99 << 10  # bytes of a program that 8.6, 8.9 and 12.0 have; 8.0 and 9.0 have more (CUDA's tables)


@pytest.mark.parametrize("card", CARDS)
def test_every_program_compiles_and_fits(card: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(card), CARDS[card]], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    needed = json.loads(done.stdout.splitlines()[-1])
    assert max(needed.values()) <= SHARED_MEMORY, needed
