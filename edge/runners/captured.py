"""Steps that are captured as CUDA graphs: a few tokens or a group through the language model, and frames through the
vision tower.

A graph is replayed with one call, where launching its some four hundred programs one by one takes longer than they run.
It always works on the same addresses: new numbers are copied to where it reads, and what it leaves is copied away. The
same arithmetic runs uncaptured where a device knows no graphs, and where capturing fails.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.cache import STEP_ROWS, StaticKVCache
from edge.models.architecture import Network
from edge.models.family import Positions, Tokens

Logits = tuple[Tensor, Tensor]
"""Logits (rows, vocab), and the most probable token of each row (rows,)."""

log = logging.getLogger(__name__)

SIZES = (1, 4, 8, 16, 32, STEP_ROWS)  # rows of a step of text; other numbers are filled up with rows that mean nothing
KEPT_SHAPES = 4  # of frames
ATTEMPTS = 2  # at capturing a step


class Replay:
    """Something that is computed again and again at the same addresses.

    Args:
        work: launches, and returns the tensors that it leaves.
        is_captured: whether as a graph.
    """

    def __init__(self, work: Callable[[], tuple[Tensor, ...]], is_captured: bool) -> None:
        self._work = work
        self._left: tuple[Tensor, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None
        if is_captured:
            self._try_to_capture()

    def __call__(self) -> tuple[Tensor, ...]:
        """What is left is overwritten by the next call."""
        if self._graph is None:
            return self._work()
        self._graph.replay()
        return self._left

    def _try_to_capture(self) -> None:
        """What fails once may succeed a moment later: whatever else the process does on the device spoils a capture."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with _nothing_is_freed():
                    self._capture()
                return
            except RuntimeError as error:
                torch.cuda.synchronize()
                if attempt == ATTEMPTS:
                    log.warning("A step cannot be captured, and is launched piece by piece: %s", error)

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._work()  # so that nothing is compiled or set up while capturing
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._left = self._work()
        self._graph = graph


@contextmanager
def _nothing_is_freed() -> Iterator[None]:
    """Python frees what was forgotten at a moment of its own, and an older graph among it would end the capture."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class StepShape:
    """What must be the same for a step to be replayed."""

    size: int  # rows, some of which may mean nothing
    is_group: bool  # embeddings come from the vision tower, and not of tokens
    wanted: str  # predictions after "none" of the rows, the "last" one that means something, or "all"


class StepReplays:
    """A few tokens, or a group, behind one sequence; by cache and shape."""

    def __init__(self, model: Network, vocab_size: int, is_captured: bool) -> None:
        self._model, self._vocab_size, self._is_captured = model, vocab_size, is_captured
        self._steps: weakref.WeakKeyDictionary[StaticKVCache, dict[StepShape, _Step]] = weakref.WeakKeyDictionary()

    def __call__(self, cache: StaticKVCache, inputs: Tokens | Tensor, positions: Positions, rows: int) -> Logits:
        """Appends at most `STEP_ROWS` tokens, or embeddings (n, hidden); what follows after the last `rows` of them."""
        shape = _shape(inputs, rows)
        steps = self._steps.setdefault(cache, {})
        if shape not in steps:
            steps[shape] = _Step(self._model, cache, shape, inputs, self._is_captured)
        logits, best = steps[shape](cache, inputs, positions)
        if rows == 0:
            return logits.new_empty(0, self._vocab_size), best
        first = len(logits) - rows
        return logits[first:].clone(), best[first:].clone()


class _Step:
    """Holds its cache by a weak reference, since it lives as long as that does."""

    def __init__(
        self, model: Network, cache: StaticKVCache, shape: StepShape, inputs: Tokens | Tensor, is_captured: bool
    ) -> None:
        self._shape = shape
        # Row by row: tokens, their positions in three axes, and in the first column the last row that means something.
        self._numbers = torch.zeros(5, shape.size, dtype=torch.int64, device=cache.kv.device)
        self._embeddings = torch.empty_like(inputs) if isinstance(inputs, Tensor) else None
        its_cache, length = weakref.ref(cache), cache.length

        def work() -> Logits:
            living = its_cache()
            assert living is not None
            x = model.embed(self._numbers[0]) if self._embeddings is None else self._embeddings
            hidden = model.extend([(living, shape.size)], x, self._numbers[1:4])
            if shape.wanted == "none":
                return hidden, self._numbers[0, :0]
            logits = model.logits(hidden[self._numbers[4, :1]] if shape.wanted == "last" else hidden)
            return logits, logits.argmax(-1)

        self._replay = Replay(work, is_captured)
        cache.crop(length)  # capturing has advanced it

    def __call__(self, cache: StaticKVCache, inputs: Tokens | Tensor, positions: Positions) -> Logits:
        n, size, length = len(inputs), self._shape.size, cache.length
        numbers = np.zeros((5, size), dtype=np.int64)
        numbers[1:4] = np.pad(positions, ((0, 0), (0, size - n)), mode="edge")
        numbers[4] = n - 1
        if isinstance(inputs, Tensor):
            assert self._embeddings is not None
            self._embeddings.copy_(inputs)
        else:
            numbers[0, :n] = inputs
        self._numbers.copy_(torch.from_numpy(numbers))
        logits, best = self._replay()
        cache.follow(length + size - cache.length)  # nothing where it was launched piece by piece
        if n < size:
            cache.crop(length + n)
        return (logits[:n], best[:n]) if self._shape.wanted == "all" else (logits, best)


def _shape(inputs: Tokens | Tensor, rows: int) -> StepShape:
    is_group = isinstance(inputs, Tensor)
    size = len(inputs) if is_group else next(size for size in SIZES if size >= len(inputs))
    return StepShape(size, is_group, "none" if rows == 0 else "last" if rows == 1 else "all")


class EncoderReplays:
    """The vision tower, by the shape of frames; the shapes used last are kept."""

    def __init__(self, model: Network, device: torch.device, is_captured: bool) -> None:
        self._model, self._device, self._is_captured = model, device, is_captured
        self._kept: OrderedDict[tuple[int, ...], tuple[Tensor, Replay]] = OrderedDict()

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """One group (2, height, width, 3) to embeddings (tokens, hidden)."""
        if frames.shape not in self._kept:
            self._kept[frames.shape] = self._prepare(frames.shape)
            if len(self._kept) > KEPT_SHAPES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(frames.shape)
        inputs, replay = self._kept[frames.shape]
        inputs.copy_(torch.from_numpy(frames))
        return replay()[0].clone()

    def _prepare(self, shape: tuple[int, ...]) -> tuple[Tensor, Replay]:
        inputs = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        return inputs, Replay(lambda: (self._model.encode(inputs[None])[0],), self._is_captured)
