"""Our side: the product's own context, with a runner between it and the device that times its steps and scripts its
answers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.streaming.meter import Meter
from edge.engine.context import Context
from edge.engine.engine import Engine
from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.profiling.ceilings import synchronize
from edge.profiling.pipeline_steps import scripted_answer
from edge.profiling.spans import Spans
from edge.profiling.timed import APPEND, PATCHIFY, PREFIX, QUESTION, TOKEN, VISION, TimedRunner
from edge.runners import Prediction
from stream.frame import Group

QUESTION_TOKENS, NEW_TOKENS = 32, 32
ASKED = " the" * QUESTION_TOKENS  # one token each
PARTS_OF_STEPS = {
    PATCHIFY: "vision", VISION: "vision", PREFIX: "prefill", APPEND: "prefill", QUESTION: "prefill", TOKEN: "decode",
}  # fmt: skip


class Ours:
    """One stream: shown one group of the film after the other, and asked after each."""

    def __init__(
        self, engine: Engine, config: Config, film: Sequence[Group], longest: int, device: torch.device
    ) -> None:
        self.spans, self.device = Spans(partial(synchronize, device)), device
        runner = TimedRunner(
            engine.runner, Qwen2VLCosts(config), self.spans, scripted_answer(engine.tokenizer, NEW_TOKENS)
        )
        self.context = Context(runner, engine.tokenizer, longest, drafts=False)
        self._film, self._coming = film, iter(film)

    def see(self, groups: int) -> None:
        for group in itertools.islice(self._coming, groups):
            self.context.append(group)

    def slide(self) -> None:
        self.see(1)
        self.answer()

    def answer(self) -> Prediction:
        """What is said is scripted; what the model itself expects after the question comes back."""
        reply = self.context.answer(ASKED, max_tokens=NEW_TOKENS)
        reply.read()
        assert reply.usage.generated_tokens == NEW_TOKENS, reply.finish
        return reply.prefill.prediction

    @property
    def window(self) -> Sequence[Group]:
        """The groups that the last answer spoke of."""
        window = self.context.window
        assert window is not None
        return self._film[window.first : window.last + 1]

    @property
    def meter(self) -> Meter:
        """Of all since `spans` were cleared."""
        meter = Meter(self.device)
        for span in self.spans:
            part = PARTS_OF_STEPS[span.name]
            meter.seconds[part] += span.seconds
            if span.cost is not None and part != "decode":
                meter.operations += span.cost.operations
        return meter
