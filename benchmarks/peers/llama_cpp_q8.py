"""llama.cpp with the vision tower in Q8_0: smaller, and slower to see."""

from __future__ import annotations

from benchmarks.peers.adapter import main
from benchmarks.peers.llama_cpp_q4 import LlamaCppQ4


class LlamaCppQ8(LlamaCppQ4):
    """As LlamaCppQ4, with another vision tower."""

    variant = "Q4_0 pure, vision Q8_0"
    grid = "int4-g32+int8-g32"
    vision_type = "q8_0"


if __name__ == "__main__":
    main(LlamaCppQ8)
