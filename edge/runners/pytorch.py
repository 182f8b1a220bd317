"""The PyTorch runner: a model folder, or random weights, on a CPU or a CUDA device.

Arithmetic only. A lock makes sure that one thread at a time owns the device.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.cache import STEP_ROWS, KVCache, StaticKVCache
from edge.errors import ModelUnreadable
from edge.hub import POCKET
from edge.models.architecture import (
    Config,
    Network,
    costs_of,
    planned_weights,
    published_config,
    read_config,
    unreadable_as_model,
)
from edge.models.costs import Weights
from edge.models.family import Tokens
from edge.models.quantized import held_bytes, stored_as
from edge.models.random import random_model, random_plan
from edge.models.weights import load_model
from edge.runners import Extension, Facts, Prediction, Preview, Runner
from edge.runners.captured import EncoderReplays, StepReplays
from edge.runners.device_policy import asked_dtype, choose_device, choose_dtype
from quantize.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class PyTorchEmbeddings:
    tensor: Tensor  # (rows * columns, hidden)
    grid: tuple[int, int]


class PyTorchPrediction:
    """Logits stay on the device until somebody asks for them."""

    def __init__(self, logits: Tensor, best: Tensor | None = None) -> None:
        self._logits = logits  # (rows, vocab)
        self._best = best  # (rows,), where they are known already

    @cached_property
    def best(self) -> Tokens:
        best = self._logits.argmax(-1) if self._best is None else self._best
        tokens: Tokens = best.cpu().numpy()
        return tokens

    def logits(self) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self._logits.float().cpu().numpy()
        return values


class PyTorchRunner(Runner):
    """
    Args:
        cache_class: `StaticKVCache` for steps whose shapes never change, which a CUDA device captures as graphs; by
            default there alone.
    """

    def __init__(self, model: Network, config: Config, facts: Facts, cache_class: type[KVCache] | None = None) -> None:
        self.model, self.config, self.facts = model, config, facts
        norm = _norm(model)
        self.device, self.dtype = norm.device, norm.dtype
        self.is_captured = is_cuda = self.device.type == "cuda"  # what is computed is replayed as graphs
        self._cache_class = cache_class or (StaticKVCache if is_cuda else KVCache)
        self._step = StepReplays(model, facts.vocab_size, is_cuda)
        self._encode = EncoderReplays(model, self.device, is_cuda)
        self._lock = threading.RLock()

    @classmethod
    def load(cls, folder: Path, device: str = "auto", dtype: str = "auto", *, kernel: str = "auto") -> PyTorchRunner:
        """`kernel`, for quantized layers, is "auto", a name in `edge.kernels.KERNELS` or "package.module:Class".

        Raises ModelUnreadable, WrongArchitecture, DeviceUnusable.
        """
        config = read_config(folder)
        chosen = choose_device(device)
        number_type = choose_dtype(dtype, config, chosen)
        stop_tokens = _stop_tokens(folder)  # before the weights: quick to read, quick to fail
        return cls.of(load_model(folder, config, number_type, chosen, kernel), config, folder.name, stop_tokens)

    @classmethod
    def random(
        cls,
        shape: str,
        variant: str,
        device: str = "auto",
        dtype: str = "auto",
        *,
        seed: int = 0,
        kernel: str = "auto",
    ) -> PyTorchRunner:
        """Random weights of a published shape, made on the device: "2b" as "bfloat16", "int4", "int8-g128" ...

        Raises ModelNotFound, BadVariant, DeviceUnusable.
        """
        config = published_config(shape)
        plan = random_plan(variant, config.tie_word_embeddings)
        chosen = choose_device(device)
        number_type = _random_dtype(variant, plan is not None, dtype, chosen)
        network = random_model(config, plan, number_type, chosen, kernel, seed)
        return cls.of(network, config, f"random:{shape}", _stop_tokens(POCKET))

    @classmethod
    def preview(cls, folder: Path, device: str = "auto", dtype: str = "auto", *, elsewhere: bool = False) -> Preview:
        """Reads headers, no weights. Raises ModelError."""
        config = read_config(folder)
        chosen = _device(device, elsewhere)
        number_type = choose_dtype(dtype, config, chosen)
        with unreadable_as_model():
            checkpoint = Checkpoint(folder)
        if config.quantization is None:
            weights = planned_weights(config, None, number_type)
        else:
            weights = Weights.stored(checkpoint.stored, config.tie_word_embeddings, number_type)
        return _preview(config, weights, chosen, number_type, None if config.quantization is None else "int")

    @classmethod
    def preview_random(
        cls, shape: str, variant: str, device: str = "auto", dtype: str = "auto", *, elsewhere: bool = False
    ) -> Preview:
        config = published_config(shape)
        plan = random_plan(variant, config.tie_word_embeddings)
        chosen = _device(device, elsewhere)
        number_type = _random_dtype(variant, plan is not None, dtype, chosen)
        weights = planned_weights(config, plan, number_type)
        return _preview(config, weights, chosen, number_type, None if plan is None else variant)

    @classmethod
    def of(cls, model: Network, config: Config, name: str, stop_tokens: tuple[int, ...]) -> PyTorchRunner:
        assert isinstance(model, nn.Module)
        dtype, quantized = _plain_name(_norm(model).dtype), stored_as(model)
        facts = Facts(
            name=name,
            variant=quantized or dtype,
            is_quantized=bool(quantized),
            dtype=dtype,
            weight_bytes=held_bytes(model),
            vocab_size=config.vocab_size,
            max_positions=config.max_positions,
            image_token=config.image_token_id,
            video_token=config.video_token_id,
            stop_tokens=stop_tokens,
            cell=config.cell,
            family=config.family,
        )
        return cls(model, config, facts)

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> PyTorchEmbeddings:
        cell, (_, height, width, _) = self.facts.cell, frames.shape
        if height % cell or width % cell:
            raise ValueError(f"frames of {width}x{height} pixels; both sides must be multiples of {cell}")
        with self._lock:
            embeddings = self._encode(frames)
        return PyTorchEmbeddings(embeddings, (height // cell, width // cell))

    def cache(self, capacity: int) -> KVCache:
        return self._cache_class(self.config.cache_shape, capacity, self.dtype, self.device)

    @torch.inference_mode()
    def extend_batch(self, batch: Sequence[Extension]) -> list[Prediction]:
        with self._lock:
            sequences = [(cast(KVCache, part.cache), part.positions.shape[1]) for part in batch]
            for cache, n in sequences:
                if cache.length + n > cache.capacity:
                    raise ValueError(f"{n} tokens do not fit: {cache.length} of {cache.capacity} are taken")
            if len(batch) == 1 and _is_step(batch[0]):
                return [self._predict_step(batch[0])]
            new = [self._embed(part) for part in batch]
            positions = torch.from_numpy(np.concatenate([part.positions for part in batch], axis=1))
            hidden = self.model.extend(sequences, torch.cat(new), positions.to(self.device))
            return self._predict(hidden, [n for _, n in sequences], [part.rows for part in batch])

    def _predict_step(self, part: Extension) -> Prediction:
        inputs = part.inputs.tensor if isinstance(part.inputs, PyTorchEmbeddings) else cast(Tokens, part.inputs)
        return PyTorchPrediction(*self._step(cast(StaticKVCache, part.cache), inputs, part.positions, part.rows))

    def _embed(self, part: Extension) -> Tensor:
        if isinstance(part.inputs, PyTorchEmbeddings):
            return part.inputs.tensor
        return self.model.embed(torch.from_numpy(cast(Tokens, part.inputs)).to(self.device))

    def _predict(self, hidden: Tensor, counts: Sequence[int], rows: Sequence[int]) -> list[Prediction]:
        """One product with the head for all rows that are wanted; none where none is."""
        wanted = torch.cat([part[len(part) - n :] for part, n in zip(hidden.split(list(counts)), rows, strict=True)])
        logits = self.model.logits(wanted) if len(wanted) else hidden.new_empty(0, self.facts.vocab_size)
        return [PyTorchPrediction(part) for part in logits.split(list(rows))]


def _is_step(part: Extension) -> bool:
    """A group, or a few tokens, of whose rows no more are wanted than are new."""
    is_few = isinstance(part.inputs, PyTorchEmbeddings) or len(cast(Tokens, part.inputs)) <= STEP_ROWS
    return isinstance(part.cache, StaticKVCache) and is_few and 0 < part.positions.shape[1] >= part.rows


def _norm(model: Network) -> Tensor:
    """A weight that is never quantized."""
    weight: Tensor = model.model.get_submodule("norm").weight  # type: ignore[assignment]
    return weight


def _device(name: str, elsewhere: bool) -> torch.device:
    return torch.device(name) if elsewhere else choose_device(name)


def _random_dtype(variant: str, quantized: bool, dtype: str, device: torch.device) -> torch.dtype:
    return asked_dtype(("bfloat16" if quantized else variant) if dtype == "auto" else dtype, device)


def _preview(config: Config, weights: Weights, device: torch.device, dtype: torch.dtype, stored: str | None) -> Preview:
    name = _plain_name(dtype)
    costs = costs_of(config, weights, dtype.itemsize)
    return Preview(str(device), name, stored or name, stored is not None, costs)


def _plain_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _stop_tokens(folder: Path) -> tuple[int, ...]:
    """What ends an answer: generation_config.json, else config.json, as the model's makers wrote it."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        try:
            found = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
        except (OSError, ValueError, AttributeError) as error:
            raise ModelUnreadable(f"{path} cannot be read: {error}. Fetch the file again.") from None
        if found is not None:
            return tuple(found) if isinstance(found, list) else (found,)
    raise ModelUnreadable(f"{folder} names no eos_token_id in generation_config.json or config.json.")
