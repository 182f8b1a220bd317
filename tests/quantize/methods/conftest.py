"""A layer as methods meet it: heavy-tailed weights, and inputs that are correlated and of unequal strength."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from quantize.statistics import HessianAccumulator, Statistics

Layer = tuple[Tensor, Statistics, Tensor]


def _make_layer(n: int, k: int, seed: int = 0, rows: int = 2000) -> Layer:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    weight = 0.02 * randn(n, k) / randn(4, n, k).square().mean(0).sqrt()
    mix = randn(k, k) * torch.exp(-torch.linspace(0, 4, k))[:, None] + 0.1 * torch.eye(k)
    x = randn(rows, k) @ mix * randn(k).exp()
    accumulator = HessianAccumulator(k)
    accumulator.add(x, np.zeros(rows, dtype=bool))
    return weight, accumulator.statistics(), x


@pytest.fixture(scope="session")
def make_layer() -> Callable[..., Layer]:
    """(n, k, seed) to a weight (n, k), the statistics of its input, and that input."""
    return _make_layer
