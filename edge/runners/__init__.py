"""The arithmetic behind one small protocol: what the engine asks of a device.

A runner knows no prompt, no window and no policy. It is one file and one line in `RUNNERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RUNNERS = {
    "pytorch": "edge.runners.pytorch:PyTorchRunner",
}

Tokens = NDArray[np.int64]
"""Token ids, shape (n,)."""

Positions = NDArray[np.int64]
"""M-RoPE position ids, shape (3, n): time, row, column."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policy must know of a model to lay out prompts and positions."""

    name: str
    variant: str  # how the weights are stored: "float32", "bfloat16", "int4-g128" ...
    vocab_size: int
    max_positions: int
    image_token: int
    video_token: int
    stop_tokens: tuple[int, ...]
    cell: int  # pixels per side of the square that becomes one token (patch size x merge size: 28)


class Embeddings(Protocol):
    """What the vision tower made of one group, kept on the device. Immutable."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        ...


class Cache(Protocol):
    """Keys and values of a sequence, on the device."""

    @property
    def length(self) -> int:
        """Tokens held."""
        ...

    @property
    def capacity(self) -> int: ...

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        ...

    def copy(self) -> Cache:
        """An independent cache with the same content."""
        ...


class Prediction(Protocol):
    """What the model expects after each of the last `rows` tokens of an `extend`."""

    @property
    def best(self) -> Tokens:
        """The most probable next token of each row, shape (rows,), chosen on the device."""
        ...

    def logits(self) -> NDArray[np.float32]:
        """Shape (rows, vocab)."""
        ...


class Runner(Protocol):
    facts: Facts

    def encode(self, frames: NDArray[np.uint8]) -> Embeddings:
        """One group, (2, height, width, 3) RGB, sides multiples of `facts.cell`, through the vision tower."""
        ...

    def cache(self, capacity: int) -> Cache:
        """An empty cache for `capacity` tokens."""
        ...

    def extend(self, cache: Cache, inputs: Tokens | Embeddings, positions: Positions, rows: int = 1) -> Prediction:
        """Append tokens or one group's embeddings to the cache; predict after the last `rows` of them.

        `rows=0` computes no prediction. Raises ValueError when the cache has no room.
        """
        ...
