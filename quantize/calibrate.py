"""Quantize a model block by block while prompts pass through it.

Only one block's weights are in memory at a time. The activations of all prompts wait between blocks; every
block is watched on the activations that the quantized blocks before it gave, quantized, and run again.
What is finished lies on disk, so that a run that is stopped goes on where it was and ends with the same bytes.

Knows no camera, no tokenizer and no model class: a block arrives as a module and a way to run it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from quantize.checkpoint import writing
from quantize.methods.awq import fold_linear, fold_norm, scaled, search_scales
from quantize.plan import Plan
from quantize.quantized_weight import QuantizedWeight, check_finite
from quantize.statistics import HessianAccumulator, Statistics
from quantize.structure import Block, Feed
from quantize.variant import Variant

Method = Callable[..., QuantizedWeight]
Progress = Callable[[int, int, str], None]
"""(blocks finished, blocks in all, the name of the one that begins)."""


class BlockRunner(Protocol):
    """One block on the way of the prompts."""

    block: Block

    def load(self) -> nn.Module:
        """The block with its weights, on the device."""
        ...

    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        """One prompt through the block: what the block before gave of it, to what the next one takes."""
        ...

    def vision(self, sample: int) -> Tensor:
        """Which rows of the prompt are vision tokens, (rows,) bool; a single True for a block of the vision tower."""
        ...


@dataclass(slots=True)
class Result:
    """What quantizing a block gave."""

    codes: dict[str, QuantizedWeight] = field(default_factory=dict)  # by layer
    changed: dict[str, Tensor] = field(default_factory=dict)  # other tensors of the block that folding changed
    errors: dict[str, float] = field(default_factory=dict)  # by layer: squared output error over squared output


def calibrate(
    runners: Sequence[BlockRunner], samples: Sequence[Tensor], plan: Plan, method: Method, store: Store, *,
    fold: bool = False, progress: Progress = lambda done, total, name: None,
) -> None:  # fmt: skip
    """Quantize every block that the plan speaks of into the store.

    Args:
        samples: what the first block takes, one per prompt.
        fold: scale inputs before quantizing and fold the scales into what makes them (AWQ).
    """
    first, activations = store.resume(list(samples))
    for index in range(first, len(runners)):
        runner = runners[index]
        progress(index, len(runners), runner.block.name)
        module = runner.load()
        result = quantize_block(runner, module, activations, plan, method, fold)
        activations = [runner.run(module, sample, x) for sample, x in enumerate(activations)]
        store.save(runner.block, result, index + 1, activations)
    progress(len(runners), len(runners), "")


def quantize_block(
    runner: BlockRunner, module: nn.Module, activations: Sequence[Tensor], plan: Plan, method: Method, fold: bool
) -> Result:
    """Quantize the block's layers; the module's weights become what the stored numbers mean."""
    name, result = runner.block.name, Result()
    feeds = [feed for feed in runner.block.feeds if _planned(plan, name, module, feed)]
    statistics = gather(runner, module, feeds, activations)
    if fold:
        for feed in feeds:
            statistics[feed] = _fold(module, name, feed, plan, statistics[feed], result)
    for feed in feeds:
        for layer in feed.layers:
            _quantize_layer(module.get_submodule(layer), f"{name}.{layer}", plan, method, statistics[feed], result)
    for layer in result.codes:
        result.changed.pop(f"{layer}.weight", None)  # the codes hold what folding made of it
    return result


def gather(
    runner: BlockRunner, module: nn.Module, feeds: Sequence[Feed], activations: Sequence[Tensor]
) -> dict[Feed, Statistics]:
    """What each feed's layers read while all prompts run through the block."""
    accumulators = {feed: HessianAccumulator(_linear(module, feed.layers[0]).in_features) for feed in feeds}
    if not feeds:
        return {}
    for sample, x in enumerate(activations):
        with _watched(module, accumulators, runner.vision(sample)):
            runner.run(module, sample, x)
    return {feed: accumulator.statistics() for feed, accumulator in accumulators.items()}


@contextmanager
def _watched(module: nn.Module, accumulators: dict[Feed, HessianAccumulator], vision: Tensor) -> Iterator[None]:
    def watch(accumulator: HessianAccumulator) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0].flatten(0, -2)
            accumulator.add(rows, vision.to(rows.device).expand(len(rows)))

        return add

    handles = [
        module.get_submodule(feed.layers[0]).register_forward_pre_hook(watch(accumulator))
        for feed, accumulator in accumulators.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _planned(plan: Plan, name: str, module: nn.Module, feed: Feed) -> list[Variant]:
    """The variants of the feed's layers that are to be quantized."""
    found = [plan(f"{name}.{layer}", _linear(module, layer).weight.shape) for layer in feed.layers]
    return [variant for variant in found if variant is not None]


def _quantize_layer(
    layer: nn.Module, name: str, plan: Plan, method: Method, statistics: Statistics, result: Result
) -> None:
    assert isinstance(layer, nn.Linear)
    variant = plan(name, layer.weight.shape)
    if variant is None:
        return
    weight = layer.weight.detach().float()
    check_finite(name, weight)
    codes = method(weight, variant, statistics)
    stored = codes.dequantize().to(weight.device)
    result.codes[name] = codes
    result.errors[name] = output_error(weight, stored, statistics)
    layer.weight.data.copy_(stored)


def output_error(weight: Tensor, stored: Tensor, statistics: Statistics) -> float:
    """Mean squared error of the layer's output, as a share of the mean square of the output itself."""
    hessian = statistics.hessian.to(weight.device)

    def energy(matrix: Tensor) -> float:
        return float(((matrix @ hessian) * matrix).sum(dtype=torch.float64))

    error, output = energy(stored - weight), energy(weight)
    return error / output if output > 0 else math.nan


def _fold(module: nn.Module, name: str, feed: Feed, plan: Plan, statistics: Statistics, result: Result) -> Statistics:
    """Scale the feed's inputs so that large ones keep more precision; exact but for rounding of the weights."""
    maker = feed.norm or feed.linear
    variants = _planned(plan, name, module, feed)
    if maker is None or len(variants) < len(feed.layers):
        return statistics  # a layer that stays as it is must not read scaled inputs
    layers = [_linear(module, layer) for layer in feed.layers]
    scales = search_scales([layer.weight.detach().float() for layer in layers], variants[0], statistics)
    for layer in layers:
        layer.weight.data.mul_(scales)
    source = module.get_submodule(maker)
    fold = fold_norm if feed.norm else fold_linear
    made: Tensor = source.get_parameter("weight").detach().float()
    bias: Tensor | None = getattr(source, "bias", None)
    weight, bias = fold(made, None if bias is None else bias.detach().float(), scales)
    for leaf, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            place: Tensor = getattr(source, leaf)
            place.data.copy_(tensor)
            result.changed[f"{name}.{maker}.{leaf}"] = place.detach().cpu().clone()
    return scaled(statistics, scales)


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear), f"{name} is a {type(layer).__name__}"
    return layer


class Store:
    """What calibration has finished, on disk: a file for each block, and the activations before the next one.

    A file appears whole or not at all. `settings` says what the run was asked for; a store that was begun with
    other settings is begun anew.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self.folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        path, wanted = folder / "settings.json", json.dumps(settings, sort_keys=True)
        if not path.exists() or path.read_text() != wanted:
            for old in [*folder.glob("*.safetensors"), *folder.glob("*.partial")]:
                old.unlink()
            path.write_text(wanted)

    def resume(self, samples: list[Tensor]) -> tuple[int, list[Tensor]]:
        """The block to go on with, and what it takes."""
        path = self.folder / "activations.safetensors"
        if not path.exists():
            return 0, samples
        with safe_open(path, framework="pt") as file:
            index = int(file.metadata()["next"])
            return index, [file.get_tensor(str(sample)) for sample in range(len(samples))]

    def save(self, block: Block, result: Result, following: int, activations: Sequence[Tensor]) -> None:
        tensors = {f"changed:{name}": tensor for name, tensor in result.changed.items()}
        for name, codes in result.codes.items():
            parts = {"values": codes.values, "scales": codes.scales, "zeros": codes.zeros}
            tensors |= {f"{part}:{name}": tensor.cpu().contiguous() for part, tensor in parts.items()}
        facts = {name: [str(codes.variant), result.errors[name]] for name, codes in result.codes.items()}
        self._write(f"{block.name}.safetensors", tensors, {"layers": json.dumps(facts)})
        waiting = {str(sample): x.cpu().contiguous() for sample, x in enumerate(activations)}
        self._write("activations.safetensors", waiting, {"next": str(following)})

    @cached_property
    def layers(self) -> dict[str, tuple[Path, Variant, float]]:
        """Every layer, once all are finished: the file that holds it, its variant, its error."""
        found: dict[str, tuple[Path, Variant, float]] = {}
        for path in self._blocks():
            with safe_open(path, framework="pt") as file:
                for name, (variant, error) in json.loads(file.metadata()["layers"]).items():
                    found[name] = (path, Variant.parse(variant), error)
        return found

    def load(self, name: str) -> QuantizedWeight:
        path, variant, _ = self.layers[name]
        with safe_open(path, framework="pt") as file:
            values, scales, zeros = (file.get_tensor(f"{part}:{name}") for part in ("values", "scales", "zeros"))
        return QuantizedWeight(variant, values, scales, zeros)

    def changed(self) -> dict[str, Tensor]:
        """Tensors that folding changed, by name: norms, and weights of layers that are not quantized themselves."""
        found: dict[str, Tensor] = {}
        for path in self._blocks():
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - a safe_open is no mapping
                    kind, _, name = key.partition(":")
                    if kind == "changed":
                        found[name] = file.get_tensor(key)
        return found

    def _blocks(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem != "activations")

    def _write(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        partial = self.folder / f"{name}.partial"
        with writing(partial):
            save_file(tensors, partial, metadata=metadata)
            partial.replace(self.folder / name)
