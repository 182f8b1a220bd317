"""A source and its variants, asked the same: freely, and with an answer laid before all of them.

The answer that is laid before them is the true one, or what the source says where nobody knows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.engine.engine import Engine
from edge.engine.prefix_cache import PrefixCache, chunks
from edge.engine.prompt import lay_out
from edge.engine.sampling import Sampling
from edge.errors import NotComparable, PromptTooLong
from edge.examples.example import Example
from edge.media.visual import Conversation
from edge.models.family import Tokens
from edge.quality.losses import Logits, Losses

MAX_TOKENS = 160  # of a free answer
PROBE = "Is there a red circle? Ja, é 是 <|im_end|>"  # a text whose tokens tell two tokenizers apart


class Contrast:
    """Raises NotComparable for models that do not share their tokens."""

    def __init__(self, source: Engine, variants: Sequence[Engine]) -> None:
        for variant in variants:
            _check_comparable(source, variant)
        self._models = [Listener(engine) for engine in (source, *variants)]
        self.losses = [Losses() for _ in variants]

    def ask(self, example: Example) -> tuple[str, ...]:
        """What the source and each variant say; how far apart their expectations are goes into `losses`.

        Raises PromptTooLong for an example that does not fit, of which nothing is counted.
        """
        said = tuple(model.say(example.conversation) for model in self._models)
        answer = self._models[0].spoken(example.answer or said[0])
        source, *variants = (model.expect(example.conversation, answer) for model in self._models)
        for losses, ours in zip(self.losses, variants, strict=True):
            losses.add(source, ours, answer, is_true=bool(example.answer))
        return said


class Listener:
    """One of the models. What it has in memory of the last example is used again for the next about the same video."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._memory = engine, PrefixCache(engine.runner)

    def spoken(self, answer: str) -> Tokens:
        return self._engine.tokenizer.encode(f"{answer}<|im_end|>")

    def say(self, conversation: Conversation) -> str:
        return self._engine.chat(conversation, sampling=Sampling(max_tokens=MAX_TOKENS)).read()

    def expect(self, conversation: Conversation, answer: Tokens) -> Logits:
        """Before each token of the answer: logits (answer's tokens, vocab). Raises PromptTooLong."""
        facts, tokenizer = self._engine.runner.facts, self._engine.tokenizer
        parts = lay_out(tokenizer, facts.family.layout, conversation.messages)
        prompt, at = chunks(parts, conversation.visuals, facts.family.layout, facts.cell, tokenizer)
        prediction, _ = self._memory.read(prompt, at, len(answer))
        if len(answer) > self._memory.room:
            raise PromptTooLong(
                f"the answer has {len(answer)} tokens, and {self._memory.room} fit behind the question. Shorten one."
            )
        logits = [prediction.logits()]
        if len(answer) > 1:
            logits.append(self._memory.write_all(answer[:-1]).logits())
        return np.concatenate(logits)


def _check_comparable(source: Engine, variant: Engine) -> None:
    ours, theirs = variant.runner.facts, source.runner.facts
    if (ours.vocab_size, ours.cell) != (theirs.vocab_size, theirs.cell) or not np.array_equal(
        source.tokenizer.encode(PROBE), variant.tokenizer.encode(PROBE)
    ):
        raise NotComparable(
            f"{variant.name} and {source.name} do not share their tokens (vocabularies of {ours.vocab_size} and "
            f"{theirs.vocab_size}). Compare a model with what was made from it."
        )
