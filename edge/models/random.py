"""Models of the true size with random weights: speed and memory do not depend on the values.

Weights have the spread of freshly made ones, so that numbers stay in range through every layer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge.hub import POCKET
from edge.models.architecture import Config, Network, architecture_of, parameter_shapes, parse_config, published_content
from edge.models.builder import ModelBuilder
from edge.models.heap import compact_heap
from quantize.atomic_folder import atomic_folder, keep_only
from quantize.checkpoint import Stored
from quantize.output import writing
from quantize.plan import Plan, make_plan
from quantize.progress import Progress, silent
from quantize.quantized_weight import QuantizedWeight
from quantize.shard_writer import ShardWriter
from quantize.variant import Variant

SPREAD = 0.02  # standard deviation of weights


def random_plan(variant: str, tied: bool) -> Plan | None:
    """What "int4", "int8" or a variant such as "int4-g32" means for a whole model: what `edge quantize` would make of
    it. None for a number type. Raises BadVariant."""
    if variant in ("bfloat16", "float16", "float32"):
        return None
    if variant == "int8":
        return make_plan("int8", tied=tied)
    return make_plan("edge", None if variant == "int4" else Variant.parse(variant), tied=tied)


def random_model(
    config: Config, plan: Plan | None, dtype: torch.dtype, device: torch.device, kernel: str = "auto", seed: int = 0
) -> Network:
    """A model made on the device: layers that the plan quantizes with random numbers, the others in `dtype`."""
    builder = ModelBuilder(config, dtype, device, kernel)
    numbers = torch.Generator(device).manual_seed(seed)
    with compact_heap():
        for name, shape in builder.expected.items():
            layer, _, leaf = name.rpartition(".")
            matrix = builder.matrix(layer)
            variant = None if plan is None or matrix is None else plan(layer, matrix)
            if variant is None:
                builder.plain(name, _weight(name, shape, numbers))
            elif leaf == "weight" and matrix is not None:
                bias = builder.expected.get(f"{layer}.bias")
                weight = _quantized(variant, matrix, numbers)
                builder.quantized(layer, weight, None if bias is None else _weight(f"{layer}.bias", bias, numbers))
    return builder.finish()


def write_random_folder(shape: str, folder: Path, seed: int = 0, progress: Progress = silent) -> None:
    """A model folder of a published shape, in bfloat16, for tools that want files. Takes what the model takes on disk
    (2b: 4.4 GB).

    It is there when it is whole, and not before; a run that fails or is stopped leaves nothing behind, for its numbers
    are quickly made again. Raises ModelNotFound for a shape that is not one, OutputExists, OutputFailed.
    """
    content = published_content(shape)
    with atomic_folder(folder) as partial:
        try:
            keep_only(partial, ())  # of a run that was killed
            _write_weights(parameter_shapes(parse_config(content)), partial, seed, progress)
            with writing(partial):
                _write_settings(content, partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _write_weights(shapes: Mapping[str, tuple[int, ...]], folder: Path, seed: int, progress: Progress) -> None:
    numbers = torch.Generator().manual_seed(seed)
    with ShardWriter(folder, {name: Stored(torch.bfloat16, shape) for name, shape in shapes.items()}) as shards:
        for done, (name, size) in enumerate(shapes.items()):
            progress(done, len(shapes), name)
            shards.write(name, _weight(name, size, numbers).bfloat16())
    progress(len(shapes), len(shapes), "")


def _write_settings(content: dict[str, Any], folder: Path) -> None:
    """What lies beside the weights: the tokenizer's files, and what the model and its pictures are like."""
    for path in POCKET.iterdir():
        if path.suffix == ".json":
            shutil.copy(path, folder / path.name)
    processor = architecture_of(parse_config(content).family).processor_config
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")


def _weight(name: str, shape: tuple[int, ...], numbers: torch.Generator) -> Tensor:
    if "norm" in name or ".ln_q." in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    return torch.empty(shape, device=numbers.device).normal_(0, SPREAD, generator=numbers)


def _quantized(variant: Variant, shape: tuple[int, int], numbers: torch.Generator) -> QuantizedWeight:
    n, k = shape
    device, groups = numbers.device, variant.num_groups(k)
    values = torch.randint(variant.top + 1, shape, dtype=torch.uint8, generator=numbers, device=device)
    step = SPREAD * 12**0.5 / variant.top  # numbers that are all equally likely spread over 1 / sqrt(12) of their range
    scales = torch.full((n, groups), step, dtype=torch.float16, device=device)
    return QuantizedWeight(variant, values, scales, torch.full_like(scales, variant.middle, dtype=torch.uint8))
