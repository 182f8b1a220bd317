"""A model ready to be asked: opens a context for each stream, and holds conversations.

Thread-safe: any thread may chat or open a context while others do. Reads no files and fetches nothing: whoever
writes a conversation cannot make it wait. Knows no cameras, no HTTP and no torch.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.engine.box_grammar import BoxGrammar, BoxWriter
from edge.engine.context import Context
from edge.engine.form import Form
from edge.engine.generation import Prefill, Reply, first_tokens
from edge.engine.json_form import JsonForm
from edge.engine.prefix_cache import PrefixCache, chunks
from edge.engine.prompt import Part, Slot, lay_out
from edge.engine.sampling import Sampling
from edge.engine.tokenizer import Tokenizer
from edge.errors import PromptError
from edge.media.limits import Limits
from edge.media.visual import Conversation
from edge.models.family import Tokens
from edge.runners import Runner

LARGEST_KEPT = 16_384  # tokens: 470 MB of keys and values at the 2B shape


class Engine:
    """A runner and its tokenizer.

    Args:
        drafts: whether a stream's last answer to a question is the draft of the next one (see `Context`), in streams
            opened from then on.
    """

    def __init__(
        self,
        runner: Runner,
        tokenizer: Tokenizer,
        name: str | None = None,
        limits: Limits | None = None,
        *,
        drafts: bool = True,
    ) -> None:
        self.name = name or runner.facts.name
        self.variant = runner.facts.variant
        self.limits = limits or runner.facts.family.limits
        self.runner = runner
        self.tokenizer = tokenizer
        self.drafts = drafts
        self._lock = threading.Lock()
        self._idle: PrefixCache | None = None  # the last conversation, while nobody speaks in it

    def open(self, max_groups: int, *, sampling: Sampling | None = None, system: str | None = None) -> Context:
        """A stream's context: a window of at most `max_groups` groups."""
        return Context(self.runner, self.tokenizer, max_groups, sampling=sampling, system=system, drafts=self.drafts)

    def chat(
        self,
        conversation: Conversation,
        *,
        sampling: Sampling | None = None,
        choices: tuple[str, ...] = (),
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Answers a conversation, as `edge.media.messages.read` gives it; in JSON where there is a schema.

        What it has in common with the last one is not computed again.
        """
        sampling = sampling or Sampling()
        layout, cell = self.runner.facts.family.layout, self.runner.facts.cell
        beginnings = first_tokens(self.tokenizer, choices)  # which fails before anything is computed
        parts = lay_out(self.tokenizer, layout, conversation.messages)
        prompt, at = chunks(parts, conversation.visuals, layout, cell, self.tokenizer)
        room = min(sampling.max_tokens, max(1, self.runner.facts.max_positions - at))
        form = self._form(schema, room)  # likewise
        cache = self._take()
        try:
            prediction, reused = cache.read(prompt, at, sampling.max_tokens)
        except PromptError:
            self._give_back(cache)  # as it was; one that a device failed with is dropped
            raise
        text = _text(parts)
        visual_tokens = sum(chunk.num_tokens for chunk in prompt) - len(text)
        return Reply(
            tokenizer=self.tokenizer,
            prefill=Prefill(prediction, text, visual_tokens, reused, cache.room),
            write=cache.write,
            stop_tokens=self.runner.facts.stop_tokens,
            sampling=sampling,
            choices=beginnings,
            form=form,
            ended=lambda: self._give_back(cache),
        )

    def _form(self, schema: Mapping[str, Any] | None, room: int) -> Form | None:
        if schema is not None:
            return JsonForm(self.tokenizer, self.runner.facts.stop_tokens, schema, room)
        boxes = BoxGrammar.of(self.tokenizer)
        return None if boxes is None else BoxWriter(boxes)

    def _take(self) -> PrefixCache:
        """The last conversation for this caller alone, or an empty cache while another has it."""
        with self._lock:
            cache, self._idle = self._idle, None
        return cache or PrefixCache(self.runner)

    def _give_back(self, cache: PrefixCache) -> None:
        """Kept for the next turn, unless so large that it would take memory from streams for a turn that may never
        come. Of conversations that were held at the same time the last one to end that is small enough is kept."""
        if 0 < cache.capacity <= LARGEST_KEPT:
            with self._lock:
                self._idle = cache


def _text(parts: Sequence[Part]) -> Tokens:
    texts = [part for part in parts if not isinstance(part, Slot)]
    return np.concatenate([np.empty(0, dtype=np.int64), *texts])
