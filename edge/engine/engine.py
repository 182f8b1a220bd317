"""A model ready to be asked: opens a context for each stream, and holds conversations.

Thread-safe: any thread may chat or open a context while others do. Knows no cameras, no HTTP and no torch.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.engine.chat import read
from edge.engine.context import Context
from edge.engine.generation import Prefill, Reply
from edge.engine.prefix_cache import PrefixCache, chunks
from edge.engine.prompt import Part, Slot, lay_out
from edge.engine.sampling import Sampling
from edge.engine.tokenizer import Tokenizer
from edge.media.limits import Limits
from edge.models.family import Tokens
from edge.runners import Runner

LARGEST_KEPT = 16_384  # tokens: 470 MB of keys and values at the 2B shape


class Engine:
    """A runner and its tokenizer."""

    def __init__(
        self, runner: Runner, tokenizer: Tokenizer, name: str | None = None, limits: Limits | None = None
    ) -> None:
        self.name = name or runner.facts.name
        self.variant = runner.facts.variant
        self.limits = limits or Limits()
        self.runner = runner
        self.tokenizer = tokenizer
        self._lock = threading.Lock()
        self._idle: PrefixCache | None = None  # the last conversation, while nobody speaks in it

    def open(self, max_groups: int, *, sampling: Sampling | None = None, system: str | None = None) -> Context:
        """A stream's context: a window of at most `max_groups` groups."""
        return Context(self.runner, self.tokenizer, max_groups, sampling=sampling, system=system)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        sampling: Sampling | None = None,
        choices: tuple[str, ...] = (),
    ) -> Reply:
        """Answers a conversation. What it has in common with the last one is not read again."""
        sampling = sampling or Sampling()
        conversation = read(messages, self.limits)
        parts = lay_out(self.tokenizer, self.runner.facts.layout, conversation.messages)
        prompt, at = chunks(parts, conversation.visuals, self.runner.facts.layout, self.runner.facts.cell)
        text = _text(parts)
        cache = self._take()
        prediction, reused = cache.read(prompt, at, sampling.max_tokens)
        return Reply(
            tokenizer=self.tokenizer,
            prefill=Prefill(
                prediction=prediction,
                text=text,
                visual_tokens=sum(chunk.num_tokens for chunk in prompt) - len(text),
                reused_tokens=reused,
                room=cache.room,
            ),
            write=cache.write,
            stop_tokens=self.runner.facts.stop_tokens,
            sampling=sampling,
            choices=choices,
            ended=lambda: self._give_back(cache),
        )

    def _take(self) -> PrefixCache:
        """The last conversation for this caller alone, or an empty cache while another has it."""
        with self._lock:
            cache, self._idle = self._idle, None
        return cache or PrefixCache(self.runner)

    def _give_back(self, cache: PrefixCache) -> None:
        """Kept for the next turn, unless so large that it would take memory from streams for a turn that may never
        come. Of conversations that were held at the same time the last one to end is kept."""
        with self._lock:
            self._idle = cache if cache.capacity <= LARGEST_KEPT else None

    def forget(self) -> None:
        """Gives back the memory of the last conversation; its next turn is read from the beginning."""
        with self._lock:
            self._idle = None


def _text(parts: Sequence[Part]) -> Tokens:
    texts = [part for part in parts if not isinstance(part, Slot)]
    return np.concatenate([np.empty(0, dtype=np.int64), *texts])
