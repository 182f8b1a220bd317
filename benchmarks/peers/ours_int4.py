"""Our engine on its INT4 variant: language model INT4, head and vision tower INT8, rounded to nearest."""

from __future__ import annotations

import importlib
from pathlib import Path

from benchmarks.peers.adapter import main
from benchmarks.peers.ours_bf16 import OursBf16


class OursInt4(OursBf16):
    """As OursBf16, on a variant."""

    variant = "int4 g128, head and vision int8"
    grid = "int4-g128+int8-channel"

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        command = importlib.import_module("edge.commands.quantize")
        order = command.QuantizeOptions(method="rtn")  # how numbers are chosen does not change how fast they are
        command.quantize_model(model, model.name, out, order, "auto", lambda *_: None)


if __name__ == "__main__":
    main(OursInt4)
