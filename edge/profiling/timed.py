"""A runner that times its own steps, and whose answers are scripted.

It stands between the engine and the real runner, so what is measured is the engine's own path. The device still
chooses every token, and then the next one of a given text is put in its place. So every model, also one with random
weights, gives answers of the same length that make sense.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge.models.costs import Costs
from edge.models.family import Tokens
from edge.profiling.spans import Spans
from edge.runners import Cache, Embeddings, Extension, Prediction, Runner

PATCHIFY, VISION, PREFIX, APPEND, QUESTION, TOKEN = (
    "patchify", "vision tower", "prefix", "append", "question", "token",
)  # fmt: skip


class TimedRunner(Runner):
    def __init__(self, runner: Runner, costs: Costs, spans: Spans, script: Tokens) -> None:
        self.facts = replace(runner.facts, stop_tokens=())
        self.runner, self.costs, self.spans = runner, costs, spans
        self._script = script[:, None]
        self._position = 0  # in the script

    def encode(self, frames: NDArray[np.uint8]) -> Embeddings:
        start = self.spans.now()
        with self._tower_begins() as begun:
            embeddings = self.runner.encode(frames)
        end = self.spans.now()
        if begun:
            self.spans.add(PATCHIFY, start, begun[0])
        self.spans.add(VISION, begun[0] if begun else start, end, partial(self.costs.vision, *frames.shape[1:3]))
        return embeddings

    def cache(self, capacity: int) -> Cache:
        return self.runner.cache(capacity)

    def extend_batch(self, batch: Sequence[Extension]) -> list[Prediction]:
        """As the runner's; what the engine asks of it shows in what it brings."""
        if len(batch) != 1:
            raise ValueError("what is timed is one sequence; several share what a pass takes")
        (part,) = batch
        if part.rows > 1:
            raise ValueError("what is scripted is told token by token; open the stream without drafts")
        tokens, context = part.positions.shape[1], part.cache.length
        start = time.perf_counter()
        (prediction,) = self.runner.extend_batch(batch)
        if part.rows:
            prediction = self._scripted(prediction, is_question=tokens > 1)
        end = self.spans.now()
        name, work = self._name(part.inputs, tokens, part.rows), partial(self.costs.extend, tokens, context, part.rows)
        self.spans.add(name, start, end, work, context)
        return [prediction]

    def _name(self, inputs: Tokens | Embeddings, tokens: int, rows: int) -> str:
        if not isinstance(inputs, np.ndarray):
            return APPEND
        if rows == 0:
            return PREFIX
        return QUESTION if tokens > 1 else TOKEN

    def _scripted(self, prediction: Prediction, is_question: bool) -> Prediction:
        _ = prediction.best  # the device's choice, made and fetched as ever
        self._position = 0 if is_question else self._position + 1
        return ScriptedPrediction(self._script[self._position % len(self._script)], prediction)

    @contextmanager
    def _tower_begins(self) -> Iterator[list[float]]:
        """When the patches are ready; empty for a runner that does not show its model, or replays it as a graph, into
        which nobody can look: waiting for the device while it is captured spoils the capture."""
        begun: list[float] = []
        model = getattr(self.runner, "model", None)
        if model is None or getattr(self.runner, "is_captured", False):
            yield begun
            return
        handle = model.visual.register_forward_pre_hook(lambda *_: begun.append(self.spans.now()))
        try:
            yield begun
        finally:
            handle.remove()


class ScriptedPrediction:
    """The script's token as the most likely one, beside the model's own logits."""

    def __init__(self, best: Tokens, prediction: Prediction) -> None:
        self.best = best
        self._prediction = prediction

    def logits(self) -> NDArray[np.float32]:
        return self._prediction.logits()
