"""Steps that are captured as CUDA graphs: few tokens through the whole model, and a group through the vision tower.

A graph is replayed with one call, where launching its some four hundred programs one by one takes longer than they run.
It always works on the same addresses: new numbers are copied to where it reads, and what it leaves is copied away. The
same arithmetic runs uncaptured where a device knows no graphs, and where capturing fails.
"""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.cache import STEP_ROWS, StaticKVCache
from edge.models.architecture import Network
from edge.models.family import Positions, Tokens

log = logging.getLogger(__name__)

SIZES = (1, 4, 8, STEP_ROWS)  # rows of a step; other numbers are filled up with rows that mean nothing
KEPT_SHAPES = 4  # of frames


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
            try:
                self._capture()
            except RuntimeError as error:
                log.warning("A step cannot be captured, and is launched piece by piece: %s", error)
                torch.cuda.synchronize()

    def __call__(self) -> tuple[Tensor, ...]:
        """What is left is overwritten by the next call."""
        if self._graph is None:
            return self._work()
        self._graph.replay()
        return self._left

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


class StepReplays:
    """Few tokens of one sequence, by cache and number of rows."""

    def __init__(self, model: Network, is_captured: bool) -> None:
        self._model, self._is_captured = model, is_captured
        self._steps: weakref.WeakKeyDictionary[StaticKVCache, dict[int, _Step]] = weakref.WeakKeyDictionary()

    def __call__(self, cache: StaticKVCache, tokens: Tokens, positions: Positions, rows: int) -> tuple[Tensor, Tensor]:
        """Appends at most `STEP_ROWS` tokens; logits (rows, vocab) and the best tokens (rows,) after the last ones."""
        size = next(size for size in SIZES if size >= len(tokens))
        steps = self._steps.setdefault(cache, {})
        if size not in steps:
            steps[size] = _Step(self._model, cache, size, self._is_captured)
        logits, best = steps[size](cache, np.vstack([tokens, positions]))
        return logits[-rows:].clone(), best[-rows:].clone()


class _Step:
    """Holds its cache by a weak reference, since it lives as long as that does."""

    def __init__(self, model: Network, cache: StaticKVCache, size: int, is_captured: bool) -> None:
        self._inputs = torch.zeros(4, size, dtype=torch.int64, device=cache.kv.device)  # tokens, and their positions
        self._size = size
        tokens, positions = self._inputs[0], self._inputs[1:]
        its_cache = weakref.ref(cache)

        def work() -> tuple[Tensor, Tensor]:
            living = its_cache()
            assert living is not None
            logits = model.logits(model.extend([(living, size)], model.embed(tokens), positions))
            return logits, logits.argmax(-1)

        length = cache.length
        self._replay = Replay(work, is_captured)
        cache.crop(length)  # capturing has advanced it

    def __call__(self, cache: StaticKVCache, inputs: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        n, length = inputs.shape[1], cache.length
        self._inputs.copy_(torch.from_numpy(np.pad(inputs, ((0, 0), (0, self._size - n)), mode="edge")))
        logits, best = self._replay()
        cache.follow(length + self._size - cache.length)  # nothing where it was launched piece by piece
        if n < self._size:
            cache.crop(length + n)
        return logits[:n], best[:n]


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
