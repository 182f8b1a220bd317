"""What the steps of a model cost: operations and bytes, from its shape alone.

A multiplication and an addition are two operations. Bytes are what must come from memory at least once: weights, keys
and values; activations stay in caches. Floors, efficiencies and predictions all come from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch

from quantize.checkpoint import Stored
from quantize.layer_names import EMBEDDING, HEAD, official_name
from quantize.variant import Variant

Planned = Callable[[str, tuple[int, int]], Variant | None]
"""(layer's official name, shape of its matrix) -> how it is stored, or None: as it is computed with."""


@dataclass(frozen=True, slots=True)
class Cost:
    operations: float
    nbytes: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.operations + other.operations, self.nbytes + other.nbytes)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.operations * times, self.nbytes * times)

    def floor(self, rate: float, bandwidth: float) -> float:
        """Seconds that no implementation gets below, at so many operations and bytes per second."""
        return max(self.operations / rate, self.nbytes / bandwidth)


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a model's parts, as they are held in memory."""

    vision: int
    body: int  # the language model's layers
    head: int  # a tied one is the embedding
    embedding: int  # 0 where it is tied to the head

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, part.name) for part in fields(self))

    @classmethod
    def planned(
        cls, shapes: Mapping[str, tuple[int, ...]], tied: bool, plan: Planned | None, dtype: torch.dtype
    ) -> Self:
        """Of a model that need not exist, by its tensors' shapes: planned layers quantized, the others in `dtype`."""
        parts = dict.fromkeys((part.name for part in fields(cls)), 0)
        for name, shape in shapes.items():
            layer, _, leaf = name.rpartition(".")
            is_matrix = leaf == "weight" and len(shape) == 2
            variant = plan(layer, (shape[0], shape[1])) if plan is not None and is_matrix else None
            nbytes = math.prod(shape) * dtype.itemsize if variant is None else variant.nbytes(shape[0], shape[1])
            parts[_part(layer, tied)] += nbytes
        return cls(**parts)

    @classmethod
    def stored(cls, tensors: Mapping[str, Stored], tied: bool, dtype: torch.dtype) -> Self:
        """Of a quantized folder: what is packed as it lies there, and what is not in `dtype`."""
        parts = dict.fromkeys((part.name for part in fields(cls)), 0)
        stored = {official_name(name): tensor for name, tensor in tensors.items()}
        if tied and is_second_embedding(stored):
            del stored[f"{HEAD}.weight"]
        tied = tied and not any(name.startswith(f"{HEAD}.") for name in stored)  # it may be quantized by itself
        for name, tensor in stored.items():
            layer, _, leaf = name.rpartition(".")
            is_plain = leaf in ("weight", "bias") and tensor.dtype.is_floating_point
            nbytes = tensor.nbytes // tensor.dtype.itemsize * dtype.itemsize if is_plain else tensor.nbytes
            parts[_part(layer, tied)] += nbytes
        return cls(**parts)


def is_second_embedding(tensors: Mapping[str, Stored]) -> bool:
    """Whether a tied model's head is stored a second time, as some writers do; nothing reads it. Names are official."""
    head = tensors.get(f"{HEAD}.weight")
    return head is not None and head.dtype.is_floating_point


def _part(layer: str, tied: bool) -> str:
    if layer.startswith("visual."):
        return "vision"
    if layer == HEAD or (layer == EMBEDDING and tied):
        return "head"
    return "embedding" if layer == EMBEDDING else "body"


class Costs(Protocol):
    """Of one model in one variant; each family has formulas of its own."""

    weights: Weights
    itemsize: int  # bytes of a number that is computed with
    kv_bytes_per_token: int
    hidden_size: int  # numbers in a token's embedding
    cell: int  # pixels per side of the square that becomes one token

    def vision(self, height: int, width: int) -> Cost:
        """One group of two frames, pixels to embeddings."""
        ...

    def extend(self, tokens: int, context: int, rows: int = 0) -> Cost:
        """`tokens` appended to `context` earlier ones, and a prediction after `rows` of them."""
        ...

    def decode(self, context: int) -> Cost:
        """One more token."""
        ...

    def tokens(self, height: int, width: int) -> int:
        """Of one group."""
        ...

    def activation_bytes(self, height: int, width: int) -> int:
        """At the worst moment of a step."""
        ...
