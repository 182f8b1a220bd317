"""What stands in the place of a linear layer or an embedding whose weights are quantized.

Knows kernels and no file format. They are called like the modules they stand for.
"""

from __future__ import annotations

import math
from collections import Counter

from torch import Tensor, nn

from edge.kernels import Kernel


class QuantLinear(nn.Module):
    def __init__(self, kernel: Kernel, bias: Tensor | None = None) -> None:
        super().__init__()
        self.kernel = kernel
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.kernel.matmul(x, self.bias)


def add_projected(x: Tensor, layer: nn.Module, inputs: Tensor) -> Tensor:
    """x + layer(inputs); a kernel may add up both at once."""
    if isinstance(layer, QuantLinear) and layer.bias is None:
        return layer.kernel.matmul(inputs, x)
    projected: Tensor = layer(inputs)
    return x + projected


class QuantEmbedding(nn.Module):
    """Its kernel may be the head's, too: a tied matrix is stored and held once."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, tokens: Tensor) -> Tensor:
        return self.kernel.rows(tokens)


def stored_as(model: nn.Module) -> str:
    """The variants of a model's quantized weights, the most common first: "int4-g128+int8-channel"; empty for none."""
    counts: Counter[str] = Counter()
    for kernel in _kernels(model):
        counts[str(kernel.variant)] += math.prod(kernel.shape)
    return "+".join(name for name, _ in counts.most_common())


def held_bytes(model: nn.Module) -> int:
    """Memory that a model's weights take."""
    return sum(weight.nbytes for weight in model.parameters()) + sum(kernel.nbytes for kernel in _kernels(model))


def _kernels(model: nn.Module) -> list[Kernel]:
    """Each once, though a tied one serves twice."""
    found = {id(m.kernel): m.kernel for m in model.modules() if isinstance(m, QuantLinear | QuantEmbedding)}
    return list(found.values())
