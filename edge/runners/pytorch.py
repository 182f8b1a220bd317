"""The PyTorch runner: a Qwen2-VL folder on a CPU or a CUDA device.

Arithmetic only. A lock makes sure that one thread at a time owns the device.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.cache import KVCache
from edge.errors import DeviceUnusable, ModelUnreadable
from edge.hub import POCKET
from edge.models.quantized import stored_as
from edge.models.qwen2_vl.config import Config, parse_config, read_config
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.qwen2_vl.shapes import published_config
from edge.models.random import random_model, random_plan
from edge.models.weights import load_model
from edge.runners import Facts, Positions, Tokens


@dataclass(frozen=True, slots=True, eq=False)
class PyTorchEmbeddings:
    tensor: Tensor  # (rows * columns, hidden)
    grid: tuple[int, int]


class PyTorchPrediction:
    """Logits stay on the device until somebody asks for them."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits  # (rows, vocab)

    @cached_property
    def best(self) -> Tokens:
        tokens: Tokens = self._logits.argmax(-1).cpu().numpy()
        return tokens

    def logits(self) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self._logits.float().cpu().numpy()
        return values


class PyTorchRunner:
    def __init__(self, model: Qwen2VL, facts: Facts) -> None:
        self.model, self.facts = model, facts
        weight = model.model.norm.weight  # never quantized
        self.device, self.dtype = weight.device, weight.dtype
        self._lock = threading.RLock()

    @classmethod
    def load(cls, folder: Path, device: str = "auto", dtype: str = "auto", kernel: str = "auto") -> PyTorchRunner:
        """`kernel`, for quantized layers, is "auto", a name in `edge.kernels.KERNELS` or "package.module:Class".

        Raises ModelUnreadable, WrongArchitecture, DeviceUnusable.
        """
        config = read_config(folder)
        chosen_device = choose_device(device)
        wanted = compute_dtype(config, chosen_device) if dtype == "auto" else dtype
        chosen_dtype = choose_dtype(wanted, chosen_device)
        stop_tokens = _stop_tokens(folder)  # before the weights: quick to read, quick to fail
        return cls.of(load_model(folder, config, chosen_dtype, chosen_device, kernel), folder.name, stop_tokens)

    @classmethod
    def random(
        cls, shape: str, variant: str, device: str = "auto", dtype: str = "auto", kernel: str = "auto", seed: int = 0
    ) -> PyTorchRunner:
        """Random weights of a published shape, made on the device: "2b" as "bfloat16", "int4", "int8-g128" ...

        Raises ModelNotFound, BadVariant, DeviceUnusable.
        """
        config = parse_config(published_config(shape))
        plan = random_plan(variant, config.tie_word_embeddings)
        chosen_device = choose_device(device)
        wanted = (variant if plan is None else "bfloat16") if dtype == "auto" else dtype
        model = random_model(config, plan, choose_dtype(wanted, chosen_device), chosen_device, kernel, seed)
        return cls.of(model, f"random:{shape}", _stop_tokens(POCKET))

    @classmethod
    def of(cls, model: Qwen2VL, name: str, stop_tokens: tuple[int, ...]) -> PyTorchRunner:
        config, dtype = model.config, model.model.norm.weight.dtype
        facts = Facts(
            name=name,
            variant=stored_as(model) or str(dtype).removeprefix("torch."),
            vocab_size=config.language.vocab_size,
            max_positions=config.language.max_position_embeddings,
            image_token=config.image_token_id,
            video_token=config.video_token_id,
            stop_tokens=stop_tokens,
            cell=config.vision.patch_size * config.vision.spatial_merge_size,
        )
        return cls(model, facts)

    @torch.inference_mode()
    def encode(self, frames: NDArray[np.uint8]) -> PyTorchEmbeddings:
        cell, (_, height, width, _) = self.facts.cell, frames.shape
        if height % cell or width % cell:
            raise ValueError(f"frames of {width}x{height} pixels; both sides must be multiples of {cell}")
        with self._lock:
            embeddings = self.model.encode(torch.from_numpy(frames).to(self.device)[None])[0]
        return PyTorchEmbeddings(embeddings, (height // cell, width // cell))

    def cache(self, capacity: int) -> KVCache:
        return KVCache(self.model.config.language, capacity, self.dtype, self.device)

    @torch.inference_mode()
    def extend(
        self, cache: KVCache, inputs: Tokens | PyTorchEmbeddings, positions: Positions, rows: int = 1
    ) -> PyTorchPrediction:
        with self._lock:
            x = self._embed(inputs)
            if cache.length + len(x) > cache.capacity:
                raise ValueError(f"{len(x)} tokens do not fit: {cache.length} of {cache.capacity} are taken")
            hidden = self.model.extend(cache, x, torch.from_numpy(positions).to(self.device))
            return PyTorchPrediction(self.model.logits(hidden[len(x) - rows :]))

    def _embed(self, inputs: Tokens | PyTorchEmbeddings) -> Tensor:
        if isinstance(inputs, PyTorchEmbeddings):
            return inputs.tensor
        return self.model.embed(torch.from_numpy(inputs).to(self.device))


def choose_device(name: str) -> torch.device:
    """Raises DeviceUnusable."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise DeviceUnusable(
            f"the device {name!r} cannot be used: {reason} Choose --device cpu, cuda or auto."
        ) from None
    return device


def compute_dtype(config: Config, device: torch.device) -> str:
    """As the checkpoint says; but official INT4 checkpoints say float16, and on a CPU that has bfloat16 products their
    kernels are many times faster in that than in what float16 would be widened to."""
    is_widened = config.quantization is not None and config.dtype == "float16" and device.type == "cpu"
    return "bfloat16" if is_widened and torch.cpu._is_avx512_bf16_supported() else config.dtype


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """What to compute in: as the checkpoint says, but float16 on a CPU is widened, since it is emulated there."""
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelUnreadable(f"{name!r} is no number type to compute in. Use float32, bfloat16 or float16.")
    if device.type == "cpu" and dtype == torch.float16:
        return torch.float32
    return dtype


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
