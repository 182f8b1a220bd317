"""How the numbers of one matrix are chosen. A method is one file and one line in `METHODS`.

    method(weight, variant, statistics=None, **options) -> QuantizedWeight

A method is a pure function: the same inputs give the same numbers, and no input changes. It knows no layer's name, no
file format and no kernel. `weight` is (n, k) of any floating type and finite. A method that needs statistics raises
ValueError without them.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from quantize.quantized_weight import QuantizedWeight
from quantize.statistics import Statistics
from quantize.variant import Variant

METHODS = {
    "rtn": "quantize.methods.rtn:rtn",
    "hqq": "quantize.methods.hqq:hqq",
    "awq": "quantize.methods.awq:awq",
    "gptq": "quantize.methods.gptq:gptq",
}


class Method(Protocol):
    def __call__(self, weight: Tensor, variant: Variant, statistics: Statistics | None = None) -> QuantizedWeight: ...
