"""Which token comes next, and when enough is enough. Knows numbers, no text and no model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadSampling
from edge.runners import Prediction

LONGEST_PERIOD = 32  # tokens; a box with its label is about 20
LEAST_REPEATS = 4
LEAST_TOKENS = 24  # "no, no, no" and a row of zeros are language; twenty-four in a row are not


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens. The default is greedy: the same input gives the same answer."""

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0  # above 1 makes tokens already seen less likely
    max_tokens: int = 128
    stop: tuple[str, ...] = ()  # the answer ends before the first of these texts
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        _require(0 <= self.temperature < math.inf, "temperature", self.temperature, "0 (greedy) or more")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(0 < self.repetition_penalty < math.inf, "repetition_penalty", self.repetition_penalty, "above 0")
        _require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "1 or more")
        _require(all(self.stop), "stop", self.stop, "texts of at least one character")

    @property
    def greedy(self) -> bool:
        """True when the device's own choice will do, so that no logits need to leave it."""
        return self.temperature == 0 and self.repetition_penalty == 1


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise BadSampling(f"{name} is {value!r}; it must be {expected}.")


class TokenSampler:
    """Chooses the tokens of one reply. `history` are the prompt's tokens, for the repetition penalty."""

    def __init__(self, sampling: Sampling, history: Iterable[int] = ()) -> None:
        self._sampling = sampling
        self._seen = set(map(int, history))
        self._random = np.random.default_rng(sampling.seed)

    def pick(self, prediction: Prediction) -> int:
        if self._sampling.greedy:
            return int(prediction.best[-1])
        token = self._pick(prediction.logits()[-1].astype(np.float64))
        self._seen.add(token)
        return token

    def _pick(self, logits: NDArray[np.float64]) -> int:
        logits = penalised(logits, self._seen, self._sampling.repetition_penalty)
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        order, probabilities = nucleus(softmax(logits / self._sampling.temperature), self._sampling.top_p)
        place = np.searchsorted(probabilities.cumsum(), self._random.random(), side="right")
        return int(order[min(int(place), len(order) - 1)])  # rounding may leave the sum just below 1


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(logits - logits.max())
    total: float = weights.sum()
    return weights / total


def penalised(logits: NDArray[np.float64], seen: set[int], penalty: float) -> NDArray[np.float64]:
    """Tokens already seen become less likely: a positive logit is divided, a negative one multiplied."""
    if penalty == 1 or not seen:
        return logits
    logits = logits.copy()
    tokens = np.fromiter(seen, dtype=np.int64)
    logits[tokens] = np.where(logits[tokens] > 0, logits[tokens] / penalty, logits[tokens] * penalty)
    return logits


def nucleus(probabilities: NDArray[np.float64], top_p: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The fewest tokens that together reach `top_p`, most likely first, and their shares."""
    order = np.argsort(-probabilities, kind="stable")
    total = probabilities[order].cumsum()
    kept = order[: int(np.searchsorted(total, top_p)) + 1]
    return kept, probabilities[kept] / probabilities[kept].sum()


class LoopGuard:
    """Notices that the last tokens are one short block over and over.

    A block of p tokens (p up to 32) counts as a loop after max(4, 24 / p) times in a row.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._runs = [0] * (LONGEST_PERIOD + 1)  # per period, how many last tokens equal the one a period ago

    def push(self, token: int) -> bool:
        """True when this token completes a loop."""
        self._tokens.append(token)
        for period in range(1, min(LONGEST_PERIOD, len(self._tokens) - 1) + 1):
            same = self._tokens[-1 - period] == token
            self._runs[period] = self._runs[period] + 1 if same else 0
        return any(self._runs[period] >= _repeats(period) for period in range(1, LONGEST_PERIOD + 1))

    @property
    def num_suspect(self) -> int:
        """How many of the last tokens are the third time of a block or later: better not said yet."""
        return max(max(run - period, 0) for period, run in enumerate(self._runs))


def _repeats(period: int) -> int:
    """Tokens of a loop that only repeat the first block."""
    return period * (max(LEAST_REPEATS, math.ceil(LEAST_TOKENS / period)) - 1)
