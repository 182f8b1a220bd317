"""Products of tiles. Triton's interpreter knows no bfloat16 there; widened, its numbers have the same products."""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def dot(a, b, sums):
    """a (m, k) times b (k, n), added to sums (m, n) of float32."""
    if INTERPRETED:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, sums)
