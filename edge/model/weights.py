"""Weights from a Hugging Face folder into a model, one tensor at a time.

The model is built without memory (on the meta device) and each tensor takes its place as it is read,
so memory never holds the weights twice. Knows both spellings of the tensor names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edge.errors import ModelUnreadable
from edge.model.config import Config
from edge.model.qwen2vl import Qwen2VL

INDEX = "model.safetensors.index.json"

# The official checkpoints write `visual.*` and `model.*`; transformers 5 writes `model.visual.*` and
# `model.language_model.*`. The first pattern that matches decides.
SPELLINGS = (
    (re.compile(r"^(model\.)?visual\."), "visual."),
    (re.compile(r"^(model\.)?language_model\.(model\.)?"), "language."),
    (re.compile(r"^model\."), "language."),
)


def load_model(folder: Path, config: Config, dtype: torch.dtype, device: torch.device) -> Qwen2VL:
    """The model of a folder, ready to run. Raises ModelUnreadable naming the file or the tensor."""
    with torch.device("meta"):
        model = Qwen2VL(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    missing = set(expected)
    for name, tensor in checkpoint_tensors(folder):
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # some writers store the tied head a second time
        _check(folder, name, tensor, expected)
        missing.discard(name)
        _place(model, name, tensor.to(device=device, dtype=dtype, copy=True))
    if missing:
        raise ModelUnreadable(
            f"{folder} lacks {len(missing)} of {len(expected)} tensors, first {min(missing)!r}. "
            "The folder is incomplete or holds another model."
        )
    return model.eval().requires_grad_(False)


def checkpoint_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Name (our spelling) and tensor, one at a time, mapped from the file rather than read whole."""
    for path in shards(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - a safe_open is no mapping
                    yield our_name(name), file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelUnreadable(f"{path} is not a readable safetensors file: {error}. Fetch it again.") from None


def shards(folder: Path) -> list[Path]:
    """The safetensors files of a folder: the ones its index names, or the single one."""
    index = folder / INDEX
    if index.exists():
        try:
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (json.JSONDecodeError, KeyError, AttributeError, UnicodeDecodeError) as error:
            raise ModelUnreadable(f"{index} is not a readable index: {error!r}. Fetch it again.") from None
    else:
        names = ["model.safetensors"]
    paths = [folder / name for name in names]
    for path in paths:
        if path.parent != folder or not path.is_file():
            raise ModelUnreadable(f"{folder} lacks {path.name}. Fetch the missing file, or the whole folder again.")
    return paths


def our_name(name: str) -> str:
    for pattern, spelling in SPELLINGS:
        if pattern.match(name):
            return pattern.sub(spelling, name)
    return name


def original_name(name: str) -> str:
    """The inverse of `our_name`, in the official checkpoints' spelling."""
    return re.sub(r"^language\.", "model.", name)


def _check(folder: Path, name: str, tensor: Tensor, expected: dict[str, tuple[int, ...]]) -> None:
    if name not in expected:
        raise ModelUnreadable(f"{folder} holds a tensor {name!r} that a Qwen2-VL of its config does not have.")
    if tuple(tensor.shape) != expected[name]:
        raise ModelUnreadable(
            f"{folder}: tensor {name!r} has shape {tuple(tensor.shape)}, its config asks for {expected[name]}."
        )


def _place(model: nn.Module, name: str, tensor: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=False))
