"""Models of the true size with random weights: speed and memory do not depend on the values.

Weights have the spread of freshly made ones, so that numbers stay in range through every layer.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor

from edge.errors import ModelNotFound
from edge.hub import POCKET
from edge.model.config import parse_config
from edge.model.qwen2vl import Qwen2VL
from edge.model.shapes import PROCESSOR, published_config
from edge.model.weights import original_name
from quantize.checkpoint import ShardWriter, Stored

SPREAD = 0.02  # standard deviation of weights


def write_random_folder(shape: str, folder: Path, seed: int = 0) -> None:
    """A model folder of a published shape, in bfloat16, for tools that want files. Takes what the model takes on disk
    (2b: 4.4 GB). Raises ModelNotFound for a shape that is not one or a folder that is there, OutputFailed."""
    content = published_config(shape)
    if folder.exists():
        raise ModelNotFound(f"{folder} is there already; name another folder, or remove it.")
    with torch.device("meta"):
        model = Qwen2VL(parse_config(content))
    shapes = {original_name(name): tuple(weight.shape) for name, weight in model.named_parameters()}
    folder.mkdir(parents=True)
    numbers = torch.Generator().manual_seed(seed)
    with ShardWriter(folder, {name: Stored(torch.bfloat16, shape) for name, shape in shapes.items()}) as shards:
        for name, size in shapes.items():
            shards.write(name, _weight(name, size, numbers).bfloat16())
    for path in POCKET.iterdir():
        if path.suffix == ".json":
            shutil.copy(path, folder / path.name)
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2) + "\n")


def _weight(name: str, shape: tuple[int, ...], numbers: torch.Generator) -> Tensor:
    if "norm" in name or ".ln_q." in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    return torch.empty(shape).normal_(0, SPREAD, generator=numbers)
