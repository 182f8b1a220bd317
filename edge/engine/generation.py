"""A reply, written token by token while somebody reads it.

Knows text, sampling and when to stop. Where the tokens go is the business of whoever asked: a
reply calls `write(token)` and gets the next prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.engine.form import Form
from edge.engine.sampling import LoopGuard, Sampling, TokenSampler, softmax
from edge.engine.tokenizer import Stream, Tokenizer
from edge.errors import PromptError
from edge.models.family import Tokens
from edge.runners import Prediction

Write = Callable[[int], Prediction]
"""Appends one token to the sequence in the model's memory; what comes after it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply cost, in tokens."""

    text_tokens: int  # of the prompt
    visual_tokens: int  # of the prompt
    reused_tokens: int  # of these two together, how many were in memory already
    generated_tokens: int
    accepted_tokens: int = 0  # of the generated ones, those that a draft had right, which took no pass of their own


@dataclass(frozen=True, slots=True)
class Prefill:
    """The prompt behind a reply, read: what the model expects after it, and what reading it cost."""

    prediction: Prediction
    text: Tokens  # the prompt's text, for the repetition penalty
    visual_tokens: int
    reused_tokens: int
    room: int  # tokens that fit behind the prompt

    def limit(self, sampling: Sampling) -> int:
        """Tokens that a reply has at most."""
        return min(sampling.max_tokens, self.room)


@dataclass(eq=False)
class Reply:
    """Iterate for pieces of text, then read the rest; `close` when no more of it is wanted.

    Tokens are computed as they are read, so an unread reply costs nothing.
    """

    tokenizer: Tokenizer
    prefill: Prefill
    write: Write
    stop_tokens: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    choices: Mapping[str, Sequence[int]] = field(default_factory=dict)  # and the tokens each may begin with
    ended: Callable[[], object] = lambda: None  # called once, when no more tokens will be written
    form: Form | None = None  # that the text has; None: what the model likes
    num_accepted: Callable[[], int] = lambda: 0  # tokens so far that took no pass of their own

    def __post_init__(self) -> None:
        self.text = ""
        self.finish = ""  # "stop", "length", "loop" or "cancelled"; empty while there is more to come
        self.probabilities: Mapping[str, float] = {}
        if self.choices:
            logits = self.prefill.prediction.logits()[-1]
            self.probabilities = first_word_probabilities(self.choices, logits)
        self._tokens: list[int] = []
        self._limit = self.prefill.limit(self.sampling)
        self._prediction = self.prefill.prediction
        self._sampler = TokenSampler(self.sampling, self.prefill.text)
        self._guard = LoopGuard()
        self._speech = TextStreamer(self.tokenizer.stream(), self.sampling.stop)

    def __iter__(self) -> Iterator[str]:
        try:
            while not self.finish:
                if piece := self._advance():
                    self.text += piece
                    yield piece
        finally:
            self.close()

    def read(self) -> str:
        """The whole text at once."""
        for _ in self:
            pass
        return self.text

    def close(self) -> None:
        """No more of this reply is wanted. One that was not read to its end finishes with "cancelled"."""
        self.finish = self.finish or "cancelled"
        ended, self.ended = self.ended, lambda: None
        ended()

    @property
    def usage(self) -> Usage:
        read = self.prefill
        return Usage(len(read.text), read.visual_tokens, read.reused_tokens, len(self._tokens), self.accepted)

    @property
    def accepted(self) -> int:
        """Tokens so far that a draft had right, which took no pass of their own."""
        return self.num_accepted()

    @property
    def tokens(self) -> tuple[int, ...]:
        """All that were chosen so far, without the one that ends the reply."""
        return tuple(self._tokens)

    def _advance(self) -> str:
        """One more token; the text that has become certain with it."""
        if self._tokens:
            self._prediction = self.write(self._tokens[-1])
        token = self._pick()
        if token is None:
            return self._end("length")
        if token in self.stop_tokens:
            return self._end("stop")
        self._tokens.append(token)
        if self._guard.push(token) and not (self.form and self.form.close()):
            self.finish = "loop"  # what was held back is the loop, and remains unsaid
            return ""
        piece = self._speech.push(token, self._guard.num_suspect)
        if self._speech.stopped:
            self.finish = "stop"
        elif len(self._tokens) >= self._limit:
            return piece + self._end("length")
        return piece

    def _pick(self) -> int | None:
        """None where what should follow has no room any more."""
        token = self._sampler.pick(self._prediction)
        if self.form is None:
            return token
        return self.form.choose(token, self._prediction, self._limit - len(self._tokens))

    def _end(self, finish: str) -> str:
        piece = self._speech.end()
        self.finish = "stop" if self._speech.stopped else finish
        return piece


class TextStreamer:
    """Tokens in, text out, keeping back what may yet turn out to be a stop text or a loop."""

    def __init__(self, stream: Stream, stop: tuple[str, ...]) -> None:
        self.stopped = False
        self._stream = stream
        self._stop = stop
        self._waiting: list[int] = []  # tokens not decoded yet
        self._text = ""  # decoded, not said yet

    def push(self, token: int, num_suspect: int) -> str:
        """Takes a token; the last `num_suspect` tokens are not to be said yet."""
        self._waiting.append(token)
        certain = max(len(self._waiting) - num_suspect, 0)
        self._text += "".join(map(self._stream.push, self._waiting[:certain]))
        del self._waiting[:certain]
        return self._say(self._beginning_of_stop())

    def end(self) -> str:
        self._text += "".join(map(self._stream.push, self._waiting)) + self._stream.end()
        return self._say(0)

    def _say(self, keep: int) -> str:
        """The text up to the first stop text, or else all but the last `keep` characters."""
        found = [place for stop in self._stop if (place := self._text.find(stop)) >= 0]
        self.stopped = bool(found)
        length = min(found) if found else len(self._text) - keep
        said, self._text = self._text[:length], self._text[length:]
        return said

    def _beginning_of_stop(self) -> int:
        """How many last characters could be the beginning of a stop text."""
        lengths = (n for stop in self._stop for n in range(1, len(stop)) if self._text.endswith(stop[:n]))
        return max(lengths, default=0)


def first_word_probabilities(choices: Mapping[str, Sequence[int]], logits: NDArray[np.float32]) -> dict[str, float]:
    """How probable each choice is as the answer's beginning, among the choices; they sum to 1."""
    probabilities = softmax(logits.astype(np.float64))
    weights = {choice: probabilities[list(first)].sum() for choice, first in choices.items()}
    total = sum(weights.values())
    return {choice: float(weight / total) for choice, weight in weights.items()}


def first_tokens(tokenizer: Tokenizer, choices: tuple[str, ...]) -> dict[str, list[int]]:
    """The tokens that each choice may begin with: Yes, yes, and both after a space.

    Spellings that are one token, or, where a choice has none, the first token of each spelling. Raises PromptError for
    choices that cannot be told apart.
    """
    first = {choice: _beginnings(tokenizer, choice) for choice in choices}
    for choice, tokens in first.items():
        others = set().union(*(first[other] for other in choices if other != choice))
        if not tokens or tokens & others:
            raise PromptError(
                f"the choice {choice!r} begins with the same token as another, or with none. "
                "Ask for choices whose first words differ."
            )
    return {choice: sorted(tokens) for choice, tokens in first.items()}


def _beginnings(tokenizer: Tokenizer, choice: str) -> set[int]:
    words = {choice, choice.lower(), choice[:1].upper() + choice[1:]} - {""}
    spellings = [tokenizer.encode_plain(space + word).tolist() for word in words for space in ("", " ")]
    single = {ids[0] for ids in spellings if len(ids) == 1}
    return single or {ids[0] for ids in spellings if ids}
