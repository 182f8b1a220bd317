"""Quantize a model block by block while calibration prompts pass through it.

For every block in turn:

    1. load its weights, the only ones in memory;
    2. run all prompts through it and sum up what its linear layers read (`statistics.py`);
    3. where AWQ asks for it, scale inputs and fold the scales into the module that makes them;
    4. quantize its layers, and put what the stored numbers mean in the place of the weights;
    5. run all prompts again: what comes out is what the next block reads, errors of the blocks before it included;
    6. save all of this (`calibration_store.py`), so that a run that is stopped goes on here.

Knows no camera, no tokenizer and no model class: a block arrives as a module and a way to run it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from quantize.methods import Method
from quantize.methods.awq import fold_linear, fold_norm, scaled, search_scales
from quantize.plan import Plan
from quantize.progress import Progress, silent
from quantize.quantized_weight import QuantizedWeight, check_finite
from quantize.statistics import HessianAccumulator, Statistics, VisionMask
from quantize.structure import BlockSpec, SharedInput
from quantize.variant import Variant


class BlockRunner(Protocol):
    """Runs one block of the model on calibration prompts."""

    block: BlockSpec

    def load(self) -> nn.Module:
        """The block with its weights, on the device."""
        ...

    def run(self, module: nn.Module, sample: int, x: Tensor) -> Tensor:
        """One prompt through the block: from what the block before it gave to what the next one takes, on the CPU."""
        ...

    def vision(self, sample: int) -> VisionMask:
        """Which rows of the prompt are vision tokens; a single True for a block where all of them are."""
        ...


@dataclass(slots=True)
class BlockResult:
    """What quantizing a block gave."""

    quantized: dict[str, QuantizedWeight] = field(default_factory=dict)  # by layer
    changed: dict[str, Tensor] = field(default_factory=dict)  # other tensors of the block that folding changed
    errors: dict[str, float] = field(default_factory=dict)  # by layer: squared output error over squared output


class Store(Protocol):
    """Where finished blocks are kept."""

    def resume(self, samples: list[Tensor]) -> tuple[int, list[Tensor]]:
        """The number of the block to go on with, and its inputs; 0 and `samples` at the beginning."""
        ...

    def save(self, block: BlockSpec, result: BlockResult, following: int, activations: Sequence[Tensor]) -> None:
        """A finished block, and the inputs of block number `following`."""
        ...


def calibrate(
    runners: Sequence[BlockRunner], samples: Sequence[Tensor], plan: Plan, method: Method, store: Store, *,
    fold: bool = False, progress: Progress = silent,
) -> None:  # fmt: skip
    """Quantize every layer of the blocks that the plan names, into the store.

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
) -> BlockResult:
    """Quantize the block's layers; the module's weights become what the stored numbers mean."""
    name, result = runner.block.name, BlockResult()
    inputs = [shared for shared in runner.block.inputs if _planned(plan, name, module, shared)]
    statistics = gather(runner, module, inputs, activations)
    if fold:
        for shared in inputs:
            statistics[shared] = _fold(module, name, shared, plan, statistics[shared], result)
    for shared in inputs:
        for layer in shared.layers:
            _quantize_layer(_linear(module, layer), f"{name}.{layer}", plan, method, statistics[shared], result)
    for layer in result.quantized:
        result.changed.pop(f"{layer}.weight", None)  # the quantized weight was made from the folded one
    return result


def gather(
    runner: BlockRunner, module: nn.Module, inputs: Sequence[SharedInput], activations: Sequence[Tensor]
) -> dict[SharedInput, Statistics]:
    """The statistics of each input while all prompts run through the block."""
    if not inputs:
        return {}
    accumulators = {shared: _accumulator(_linear(module, shared.layers[0])) for shared in inputs}
    for sample, x in enumerate(activations):
        with _watched(module, accumulators, runner.vision(sample)):
            runner.run(module, sample, x)
    return {shared: accumulator.statistics() for shared, accumulator in accumulators.items()}


def _accumulator(layer: nn.Linear) -> HessianAccumulator:
    return HessianAccumulator(layer.in_features, layer.weight.device)


@contextmanager
def _watched(
    module: nn.Module, accumulators: dict[SharedInput, HessianAccumulator], vision: VisionMask
) -> Iterator[None]:
    """Adds what the layers read to the accumulators. Of layers that share an input, the first is watched."""

    def watch(accumulator: HessianAccumulator) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0].flatten(0, -2)
            accumulator.add(rows, np.broadcast_to(vision, len(rows)))

        return add

    handles = [
        module.get_submodule(shared.layers[0]).register_forward_pre_hook(watch(accumulator))
        for shared, accumulator in accumulators.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _planned(plan: Plan, name: str, module: nn.Module, shared: SharedInput) -> list[Variant]:
    """The variants of those of the layers that are to be quantized."""
    found = [plan(f"{name}.{layer}", _linear(module, layer).weight.shape) for layer in shared.layers]
    return [variant for variant in found if variant is not None]


def _quantize_layer(
    layer: nn.Linear, name: str, plan: Plan, method: Method, statistics: Statistics, result: BlockResult
) -> None:
    variant = plan(name, layer.weight.shape)
    if variant is None:
        return
    weight = layer.weight.detach().float()
    check_finite(name, weight)
    quantized = method(weight, variant, statistics)
    stored = quantized.dequantize()
    result.quantized[name] = quantized
    result.errors[name] = output_error(weight, stored, statistics)
    layer.weight.data.copy_(stored)


def output_error(weight: Tensor, stored: Tensor, statistics: Statistics) -> float:
    """Mean squared error of the layer's output, as a share of the mean square of the output itself."""

    def energy(matrix: Tensor) -> float:
        return float(((matrix @ statistics.hessian) * matrix).sum(dtype=torch.float64))

    error, output = energy(stored - weight), energy(weight)
    return error / output if output > 0 else math.nan


def _fold(
    module: nn.Module, name: str, shared: SharedInput, plan: Plan, statistics: Statistics, result: BlockResult
) -> Statistics:
    """Scale an input so that its large channels keep more precision: its layers' columns are multiplied by the scales,
    its producer's output divided by them. Exact but for rounding of the weights. Returns the statistics of the scaled
    input."""
    variants = _planned(plan, name, module, shared)
    if shared.producer is None or len(variants) < len(shared.layers):
        return statistics  # a layer that stays as it is must not read scaled inputs
    layers = [_linear(module, layer) for layer in shared.layers]
    scales = search_scales([layer.weight.detach().float() for layer in layers], variants[0], statistics)
    for layer in layers:
        layer.weight.data.mul_(scales)
    for leaf, tensor in _divide_output(module.get_submodule(shared.producer), shared, scales).items():
        result.changed[f"{name}.{shared.producer}.{leaf}"] = tensor.detach().cpu().clone()
    return scaled(statistics, scales)


def _divide_output(producer: nn.Module, shared: SharedInput, scales: Tensor) -> dict[str, Tensor]:
    """The producer's parameters, changed in place so that its output is divided by the scales."""
    fold = fold_norm if shared.norm else fold_linear
    parameters = {leaf: tensor for leaf in ("weight", "bias") if (tensor := getattr(producer, leaf, None)) is not None}
    bias = parameters.get("bias")
    folded = fold(parameters["weight"].detach().float(), None if bias is None else bias.detach().float(), scales)
    for parameter, tensor in zip(parameters.values(), folded, strict=False):  # without a bias, its place holds None
        parameter.data.copy_(tensor)
    return parameters


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear), f"{name} is a {type(layer).__name__}"
    return layer
