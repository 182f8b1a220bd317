"""What a model of some config holds, without its weights: for commands that only compare."""

from __future__ import annotations

import torch

from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.model import Qwen2VL


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by official name."""
    with torch.device("meta"):
        model = Qwen2VL(config)
    return {name: tuple(weight.shape) for name, weight in model.named_parameters()}
