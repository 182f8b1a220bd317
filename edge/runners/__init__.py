"""The arithmetic behind one small protocol: what the engine asks of a device.

A runner knows no prompt, no window and no policy. It is one file and one line in `RUNNERS`. This file needs no torch,
nor may a runner that is not PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import UnknownRunner
from edge.models.family import Family, Positions, Tokens
from quantize.registry import resolve

if TYPE_CHECKING:
    from edge.models.costs import Costs

RUNNERS = {
    "pytorch": "edge.runners.pytorch:PyTorchRunner",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the policy must know of a model to lay out prompts and positions, and people to tell models apart."""

    name: str
    variant: str  # how the weights are stored: "float32", "bfloat16", "int4-g128" ...
    is_quantized: bool  # any of them
    dtype: str  # what is computed with: "float32", "bfloat16" ...
    weight_bytes: int  # memory that the weights take
    vocab_size: int
    max_positions: int
    image_token: int
    video_token: int
    stop_tokens: tuple[int, ...]
    cell: int  # pixels per side of the square that becomes one token (patch size x merge size)
    family: Family


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


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """New tokens of one sequence."""

    cache: Cache
    inputs: Tokens | Embeddings  # one group's embeddings
    positions: Positions
    rows: int = 1  # a prediction is wanted after so many of the last tokens; 0: none, and none is computed


class Prediction(Protocol):
    """What the model expects after each of the last `rows` tokens of an extension."""

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

    def extend_batch(self, batch: Sequence[Extension]) -> list[Prediction]:
        """Appends to several sequences in one pass, which reads the weights once for all of them.

        Each has its own cache, and none twice. What comes out for a sequence does not depend on its neighbours: to the
        bit where the kernels in use work row by row, to rounding elsewhere. Raises ValueError when a cache has no room,
        and then has changed none.
        """
        ...

    def extend(self, cache: Cache, inputs: Tokens | Embeddings, positions: Positions, rows: int = 1) -> Prediction:
        """A batch of one sequence."""
        return self.extend_batch([Extension(cache, inputs, positions, rows)])[0]


@dataclass(frozen=True, slots=True)
class Preview:
    """What loading would give, known from headers alone."""

    device: str  # "cpu", "cuda" ...
    dtype: str  # what would be computed with
    variant: str  # how the weights are stored, as far as headers tell: "int" for what is quantized
    is_quantized: bool
    costs: Costs


class RunnerClass(Protocol):
    """What `RUNNERS` names. Which device and which type of numbers "auto" means is the runner's to decide.

    `device` is "auto" or a device's name, `dtype` "auto" or "float32", "bfloat16", "float16". All raise ModelError: for
    a model that cannot be read, a device that cannot be used, a shape that is not published; QuantizeError for a
    variant that is none.
    """

    def load(self, folder: Path, device: str = "auto", dtype: str = "auto") -> Runner:
        """The model of a folder, ready to run."""
        ...

    def random(self, shape: str, variant: str, device: str = "auto", dtype: str = "auto", *, seed: int = 0) -> Runner:
        """Random weights of a published shape, "2b" as "bfloat16", "int4", "int8-g128" ..."""
        ...

    def preview(self, folder: Path, device: str = "auto", dtype: str = "auto", *, elsewhere: bool = False) -> Preview:
        """What `load` would give. `elsewhere`: on another machine's device of that kind, so none is looked for here."""
        ...

    def preview_random(
        self, shape: str, variant: str, device: str = "auto", dtype: str = "auto", *, elsewhere: bool = False
    ) -> Preview:
        """What `random` would give."""
        ...


def find_runner(name: str) -> RunnerClass:
    """By its name in `RUNNERS`, or "your.package:YourRunner". Raises UnknownRunner."""
    found: RunnerClass = resolve(name, RUNNERS, "runner", UnknownRunner)
    if not callable(getattr(found, "load", None)):
        raise UnknownRunner(f"{name!r} is no runner: it has no load(). Choose {', '.join(RUNNERS)}.")
    return found
