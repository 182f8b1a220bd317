"""Where a reply is written: behind a prompt in the model's memory, a token at a time or several ahead of time.

Knows positions and the cache; no text, and not what makes a token likely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engine.draft import Draft
from edge.engine.pass_costs import WIDEST, PassCosts
from edge.models.family import PromptLayout, Tokens
from edge.runners import Cache, Prediction, Runner


class Tail:
    """The end of a sequence. Only its reply may write there, until it is over.

    Args:
        at: position of the next token.
    """

    def __init__(self, runner: Runner, cache: Cache, layout: PromptLayout, at: int) -> None:
        self.is_over = False
        self._runner, self._cache, self._layout = runner, cache, layout
        self._at = at

    def check(self) -> None:
        if self.is_over:
            raise RuntimeError("this reply is over: its context has gone on. Read a reply before the next call.")

    def write(self, token: int) -> Prediction:
        return self.extend([token])

    def extend(self, tokens: Sequence[int]) -> Prediction:
        """Appends in one pass; what comes after each of them."""
        self.check()
        positions = self._layout.text_positions(self._at, len(tokens))
        prediction = self._runner.extend(self._cache, np.array(tokens), positions, rows=len(tokens))
        self._at += len(tokens)
        return prediction

    def forget(self, num_tokens: int) -> None:
        """The last ones."""
        if num_tokens:
            self.check()
            self._cache.crop(self._cache.length - num_tokens)
            self._at -= num_tokens


class WriteAhead:
    """Writes a reply's tokens and, in the same pass, those that a draft expects behind them.

    Whoever writes gets for each token what the model expects after it, as if it had been written alone; where the
    next token is the one that was written ahead, without another pass. What was written in vain is forgotten.

    Args:
        limit: tokens that the reply has at most. The last of them need not be written.
        clock: in seconds; passes are timed with it.
    """

    def __init__(self, tail: Tail, draft: Draft, costs: PassCosts, limit: int, clock: Callable[[], float]) -> None:
        self.accepted = 0  # tokens that took no pass of their own
        self._tail, self._draft, self._costs = tail, draft, costs
        self._limit = limit
        self._clock = clock
        self._written = 0  # tokens of the reply
        self._ahead: tuple[int, ...] = ()  # tokens that were written as well and may yet be the reply's
        self._pass: Prediction | None = None

    def write(self, token: int) -> Prediction:
        self._tail.check()
        self._draft.follow(token)
        self._written += 1
        if self._ahead[:1] == (token,):
            self._ahead = self._ahead[1:]
            self.accepted += 1
        else:
            self._tail.forget(len(self._ahead))
            self._ahead, self._pass = self._extend(token)
        assert self._pass is not None
        return RowOf(self._pass, -1 - len(self._ahead))

    def _extend(self, token: int) -> tuple[tuple[int, ...], Prediction]:
        """The token and what is guessed behind it."""
        most = min(WIDEST - 1, self._limit - self._written - 1)
        guess = self._draft.guess(max(most, 0))
        guess = guess[: self._costs.best_width(len(guess), self._draft.acceptance) - 1]
        start = self._clock()
        prediction = self._tail.extend([token, *guess])
        _ = prediction.best  # which waits for the device
        self._costs.measured(1 + len(guess), self._clock() - start)
        return guess, prediction


@dataclass(frozen=True, slots=True, eq=False)
class RowOf:
    """One row of a prediction."""

    prediction: Prediction
    row: int

    @property
    def best(self) -> Tokens:
        return self.prediction.best[[self.row]]

    def logits(self) -> NDArray[np.float32]:
        return self.prediction.logits()[[self.row]]
