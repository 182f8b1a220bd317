"""How the numbers of one matrix are chosen. A method is one file and one line in `METHODS`.

    method(weight, variant, statistics=None, **options) -> QuantizedWeight

A method is a pure function: the same inputs give the same numbers, and no input changes. It knows no layer's name, no
file format and no kernel. `weight` is (n, k) of any floating type and finite. What whoever calls it must know is said
by `@traits`: a method that needs statistics has them gathered first, and raises ValueError without them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Traits:
    needs_statistics: bool = False  # of the layer's inputs
    chooses_zeros: bool = False  # gains by a zero point for each group: without one, numbers lie around 0
    scales_inputs: bool = False  # takes weights whose large inputs were divided where they are made


def find_method(name: str) -> Method:
    """By its name in `METHODS`, or "your.package:your_method". Raises BadPlan."""
    method: Method = resolve(name, METHODS, "method", BadPlan)
    return method


def traits(**said: bool) -> Callable[[Function], Function]:
    """Marks a method with fields of `Traits`."""

    def mark(method: Function) -> Function:
        vars(method)["traits"] = Traits(**said)
        return method

    return mark


def traits_of(method: Method) -> Traits:
    found: Traits = getattr(method, "traits", Traits())
    return found
