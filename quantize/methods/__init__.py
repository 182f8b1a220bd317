"""How the numbers of one matrix are chosen. A method is one file and one line in `METHODS`.

    method(weight, variant, statistics=None, **options) -> QuantizedWeight

A method is a pure function: the same inputs give the same numbers, and no input changes. It knows no layer's name, no
file format and no kernel. `weight` is (n, k) of any floating type and finite. A method that needs statistics is marked
`@needs_statistics`, so that whoever calls it gathers them first, and raises ValueError without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from torch import Tensor

from quantize.errors import BadPlan
from quantize.quantized_weight import QuantizedWeight
from quantize.registry import resolve
from quantize.statistics import Statistics
from quantize.variant import Variant

METHODS = {
    "rtn": "quantize.methods.rtn:rtn",
    "hqq": "quantize.methods.hqq:hqq",
    "awq": "quantize.methods.awq:awq",
    "gptq": "quantize.methods.gptq:gptq",
}


Function = TypeVar("Function", bound=Callable[..., Any])


class Method(Protocol):
    def __call__(self, weight: Tensor, variant: Variant, statistics: Statistics | None = None) -> QuantizedWeight: ...


def find_method(name: str) -> Method:
    """By its name in `METHODS`, or "your.package:your_method". Raises BadPlan."""
    method: Method = resolve(name, METHODS, "method", BadPlan)
    return method


def needs_statistics(method: Function) -> Function:
    """Marks a method that cannot do without statistics of the layer's inputs."""
    vars(method)["is_calibrated"] = True
    return method


def is_calibrated(method: Method) -> bool:
    return getattr(method, "is_calibrated", False)
