"""Our side: the product's own context, with a runner between it and the device that meters and dictates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.streaming.meter import Meter
from edge.engine.context import Context
from edge.engine.engine import Engine
from edge.model.config import Config
from edge.planning.costs import Costs
from edge.runners import Cache, Embeddings, Positions, Prediction, Runner, Tokens
from stream.frame import Group

QUESTION_TOKENS, NEW_TOKENS = 32, 32
QUESTION = " the" * QUESTION_TOKENS  # one token each
PLAIN = range(94)  # ids of the printable characters, more of them than the longest loop that ends a reply


class Ours:
    """One stream: shown one group of the film after the other, and asked after each."""

    def __init__(
        self, engine: Engine, config: Config, film: Sequence[Group], longest: int, device: torch.device
    ) -> None:
        self.runner = Dictating(engine.runner, config, device)
        self.meter = self.runner.meter
        self.context = Context(self.runner, engine.tokenizer, longest)
        self._film, self._coming = film, iter(film)

    def see(self, groups: int) -> None:
        for group in itertools.islice(self._coming, groups):
            self.context.append(group)

    def slide(self) -> None:
        self.see(1)
        self.answer()

    def answer(self) -> None:
        reply = self.context.answer(QUESTION, max_tokens=NEW_TOKENS)
        reply.read()
        assert reply.usage.generated_tokens == NEW_TOKENS, reply.finish

    @property
    def window(self) -> Sequence[Group]:
        """The groups that the last answer spoke of."""
        window = self.context.window
        assert window is not None
        return self._film[window.first : window.last + 1]


class Dictating:
    """A runner that notes what its parts take, and says what the answer is.

    Random weights repeat themselves, and a reply ends where it repeats itself or stops. So each token is computed and
    chosen as ever, and then another goes on in its place that ends nothing. All else, from the window to
    the text that comes out, is the context's doing, as in the product.
    """

    def __init__(self, runner: Runner, config: Config, device: torch.device) -> None:
        self.facts = replace(runner.facts, stop_tokens=())
        self.meter = Meter(device)
        self.after_question: Prediction
        self._runner, self._costs, self._said = runner, Costs(config), 0

    def encode(self, frames: NDArray[np.uint8]) -> Embeddings:
        with self.meter.part("vision"):
            seen = self._runner.encode(frames)
        self.meter.operations += self._costs.vision(*frames.shape[1:3]).operations
        return seen

    def cache(self, capacity: int) -> Cache:
        return self._runner.cache(capacity)

    def extend(self, cache: Cache, inputs: Tokens | Embeddings, positions: Positions, rows: int = 1) -> Prediction:
        before, tokens = cache.length, positions.shape[1]
        with self.meter.part("decode" if tokens == 1 else "prefill"):
            prediction = self._runner.extend(cache, inputs, positions, rows)
            _ = prediction.best if rows else None  # the choice belongs to the part
        if tokens > 1:  # an answer's tokens come alone
            self.meter.operations += self._costs.extend(tokens, before, rows).operations
        return self._dictated(prediction, tokens) if rows else prediction

    def _dictated(self, prediction: Prediction, tokens: int) -> Prediction:
        if tokens > 1:
            self.after_question = prediction
        self._said += 1
        return Dictated(prediction, np.array([PLAIN[self._said % len(PLAIN)]]))


@dataclass(frozen=True)
class Dictated:
    """A prediction with another token in the place of its best."""

    made: Prediction
    best: Tokens

    def logits(self) -> NDArray[np.float32]:
        return self.made.logits()
