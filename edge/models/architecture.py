"""What the PyTorch side asks of a family: its config, its network, the shapes that were published, and its costs.

Knows no family: these are the promises that the builder, the loader, the runner and the plans rely on.
"""

from __future__ import annotations

import json
import pkgutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from edge.cache import KVCache
from edge.errors import ModelNotFound, ModelUnreadable
from edge.models.costs import Costs, Planned, Weights
from edge.models.family import FAMILIES, Family, family_of, find_family
from edge.models.fusing import Fused
from quantize.checkpoint import Checkpoint, refuse_adapter
from quantize.errors import QuantizeError
from quantize.quantization_config import with_quantization


class Config(Protocol):
    """A config.json, read. What else a family keeps in it is its own business."""

    @property
    def family(self) -> Family: ...
    @property
    def tie_word_embeddings(self) -> bool: ...
    @property
    def image_token_id(self) -> int: ...
    @property
    def video_token_id(self) -> int: ...
    @property
    def dtype(self) -> str:
        """How the weights want to be computed with: "bfloat16", "float32" ..."""
        ...

    @property
    def quantization(self) -> Mapping[str, Any] | None:
        """As config.json has it."""
        ...

    @property
    def cell(self) -> int:
        """Pixels per side of the square that becomes one token."""
        ...

    @property
    def vocab_size(self) -> int: ...
    @property
    def max_positions(self) -> int: ...
    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, heads of keys and values, numbers in each head."""
        ...


class Network(nn.Module, ABC):
    """Modules are named as official checkpoints name their layers: `visual.*`, `model.*`, `lm_head`."""

    visual: nn.Module
    model: nn.Module
    lm_head: nn.Module | None  # None: the embedding's matrix, as it is
    fused: ClassVar[Fused] = {}
    """Projections that loading makes into one."""

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Bytes (groups, 2, height, width, 3), sides multiples of `cell`, to embeddings (groups, tokens, hidden)."""

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """(n,) to (n, hidden)."""

    @abstractmethod
    def extend(self, sequences: Sequence[tuple[KVCache, int]], x: Tensor, positions: Tensor) -> Tensor:
        """Append embeddings (n, hidden) at positions (3, n) to the caches, so many rows to each in turn; returns hidden
        states (n, hidden)."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocab). Ask for the rows you need: each costs the whole head."""


@dataclass(frozen=True, slots=True)
class Architecture:
    parse_config: Callable[[dict[str, Any], str], Any]  # the content of a config.json and where it is from -> Config
    network: Callable[[Any], Network]  # Config -> Network
    costs: Callable[..., Costs]  # Config, Weights, bytes of a number that is computed with
    shapes: tuple[str, ...]  # names of published shapes
    published_config: Callable[[str], dict[str, Any]]  # shape -> the content of its config.json
    processor_config: Mapping[str, Any]  # the content of its preprocessor_config.json


def architecture_of(family: Family) -> Architecture:
    found: Architecture = pkgutil.resolve_name(family.architecture_path)
    return found


def read_config(folder: Path) -> Config:
    """The config of a model folder. Raises ModelUnreadable, WrongArchitecture."""
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        with unreadable_as_model():
            refuse_adapter(folder)
        raise ModelUnreadable(f"{folder} holds no config.json. Is it a Hugging Face model folder?") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelUnreadable(f"{path} cannot be read: {error}. Fetch the file again.") from None
    with unreadable_as_model():
        content = with_quantization(folder, _with_dtype(folder, content))
    return parse_config(content, origin=str(path))


@contextmanager
def unreadable_as_model() -> Iterator[None]:
    """What is wrong with a checkpoint's files is ModelUnreadable to whoever wants to run it."""
    try:
        yield
    except QuantizeError as error:
        raise ModelUnreadable(str(error)) from None


def _with_dtype(folder: Path, content: Any) -> Any:
    """Some writers leave "auto" for the type of the numbers: as the weights are stored, which their headers tell."""
    if not isinstance(content, dict) or "auto" not in (content.get("dtype"), content.get("torch_dtype")):
        return content
    floating = [stored.dtype for stored in Checkpoint(folder).stored.values() if stored.dtype.is_floating_point]
    common = Counter(floating).most_common(1)
    return {**content, "dtype": str(common[0][0]).removeprefix("torch.")} if common else content


def parse_config(content: dict[str, Any], origin: str = "config") -> Config:
    """A Config from the content of a config.json. Raises WrongArchitecture, ModelUnreadable."""
    if not isinstance(content, dict):
        raise ModelUnreadable(f"{origin} holds no JSON object.")
    config: Config = architecture_of(family_of(content, origin)).parse_config(content, origin)
    return config


def published_config(shape: str) -> Config:
    """Of a shape such as "2b" or "pocket". Raises ModelNotFound."""
    return parse_config(published_content(shape))


def published_content(shape: str) -> dict[str, Any]:
    """The content of that shape's config.json. Raises ModelNotFound."""
    architectures = [architecture_of(find_family(name, "the registry")) for name in FAMILIES]
    for architecture in architectures:
        if shape in architecture.shapes:
            return architecture.published_config(shape)
    shapes = ", ".join(name for architecture in architectures for name in architecture.shapes)
    raise ModelNotFound(f"{shape!r} is no shape of random weights; there are {shapes}.")


def empty_network(config: Config) -> Network:
    """Without memory for weights, on the meta device."""
    with torch.device("meta"):
        return architecture_of(config.family).network(config)


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """What a checkpoint of this config holds, by official name; a tied head is not listed."""
    return {name: tuple(weight.shape) for name, weight in empty_network(config).named_parameters()}


def planned_weights(config: Config, plan: Planned | None, dtype: torch.dtype) -> Weights:
    """Of a model that need not exist: layers as the plan has them, the others in `dtype`."""
    return Weights.planned(parameter_shapes(config), config.tie_word_embeddings, plan, dtype)


def costs_of(config: Config, weights: Weights | None = None, itemsize: int = 2) -> Costs:
    return architecture_of(config.family).costs(config, weights, itemsize)
