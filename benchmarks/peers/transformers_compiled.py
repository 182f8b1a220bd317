"""transformers with a static cache, whose decoding step it compiles by itself: its fastest way on a CUDA device."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import MappingProxyType

from benchmarks.peers.adapter import WARM_UP, Unavailable, main
from benchmarks.peers.transformers_bf16 import TransformersBf16
from benchmarks.peers.workload import picture

WARM_UPS = 2  # the first answers compile


class TransformersCompiled(TransformersBf16):
    """As TransformersBf16, with a static cache and torch.compile."""

    variant = "bf16, SDPA, static cache, torch.compile"
    options = MappingProxyType({"cache_implementation": "static"})

    def __init__(self, folder: Path) -> None:
        if not importlib.import_module("torch").cuda.is_available():
            raise Unavailable("measured on CUDA devices only, where transformers compiles by itself")
        super().__init__(folder)
        for number in range(WARM_UPS):
            self.answer(picture(WARM_UP + 1 + number))


if __name__ == "__main__":
    main(TransformersCompiled)
