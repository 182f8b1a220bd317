"""Projections that read the same input become one while a model is loaded: fewer, larger products at every step.

Files know the parts only. Knows weights and how they are stored; which projections belong together is the network's to
say, in `fused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from quantize.quantized_weight import QuantizedWeight

Fused = Mapping[str, tuple[str, ...]]
"""Name of a projection -> names of the parts that it stands for, in the order of its rows."""


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedLayer:
    weight: QuantizedWeight
    bias: Tensor | None


class WaitingRoom:
    """Quantized projections on their way into a model, until those that they are fused with have come as well."""

    def __init__(self, fused: Fused) -> None:
        self._target = {part: (name, parts) for name, parts in fused.items() for part in parts}
        self._waiting: dict[str, dict[str, QuantizedLayer]] = {}

    def add(self, name: str, layer: QuantizedLayer) -> dict[str, QuantizedLayer]:
        """What can be placed now, by name: nothing while others are awaited."""
        owner, _, leaf = name.rpartition(".")
        if leaf not in self._target:
            return {name: layer}
        whole, parts = self._target[leaf]
        waiting = self._waiting.setdefault(f"{owner}.{whole}", {})
        waiting[name] = layer
        if len(waiting) < len(parts):
            return {}
        del self._waiting[f"{owner}.{whole}"]
        joined = join([waiting[f"{owner}.{part}"] for part in parts])
        return waiting if joined is None else {f"{owner}.{whole}": joined}

    def rest(self) -> dict[str, QuantizedLayer]:
        """Those whose others never came: they were not quantized."""
        return {name: layer for waiting in self._waiting.values() for name, layer in waiting.items()}


def join(layers: Sequence[QuantizedLayer]) -> QuantizedLayer | None:
    """The layers' rows one under the other; None where they are not stored alike."""
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers if layer.bias is not None]
    variants = {replace(weight.variant, symmetric=True) for weight in weights}
    if len(variants) > 1 or len(biases) not in (0, len(layers)):
        return None
    # A grid with zeros of its own can say what a symmetric one says.
    variant = replace(weights[0].variant, symmetric=all(weight.variant.symmetric for weight in weights))
    values, scales, zeros = (
        torch.cat([getattr(weight, name) for weight in weights]) for name in ("values", "scales", "zeros")
    )
    return QuantizedLayer(QuantizedWeight(variant, values, scales, zeros), torch.cat(biases) if biases else None)


def fuse_plain(model: nn.Module, fused: Fused) -> None:
    """Unquantized projections: one module after the other, so that little is held twice."""
    for module in list(model.modules()):
        for whole, parts in fused.items():
            layers = [getattr(module, part, None) for part in parts]
            linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
            if len(linears) == len(parts):
                put(module, whole, parts, _stacked(linears))


def separate(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], fused: Fused) -> dict[str, Tensor]:
    """The inverse, for who wants tensors as files name them: views of a model's plain tensors.

    Args:
        shapes: of the parts, by name, as `parameter_shapes` lists them.
    """
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        owner, _, layer = owner.rpartition(".")
        names = [f"{owner}.{part}.{leaf}" for part in fused.get(layer, ())] or [name]
        apart |= zip(names, tensor.split([shapes[part][0] for part in names]), strict=True)
    return apart


def put(module: nn.Module, whole: str, parts: Sequence[str], layer: nn.Module) -> None:
    """The projection in the place of its parts."""
    setattr(module, whole, layer)
    for part in parts:
        setattr(module, part, None)


def _stacked(linears: Sequence[nn.Linear]) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(linears[0].in_features, sum(linear.out_features for linear in linears))
    biases: list[Tensor] = [linear.bias for linear in linears if linear.bias is not None]
    layer.weight = nn.Parameter(torch.cat([linear.weight for linear in linears]), requires_grad=False)
    layer.register_parameter("bias", nn.Parameter(torch.cat(biases), requires_grad=False) if biases else None)
    return layer
