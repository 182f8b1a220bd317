"""How far apart the expectations of two models are. Knows logits and tokens, no model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.models.family import Tokens

Logits = NDArray[np.float32]


@dataclass
class Losses:
    """A variant beside its source, over the tokens of answers that were laid before both."""

    kl: list[NDArray[np.float64]] = field(default_factory=list)  # nats per token
    same_best: list[NDArray[np.bool_]] = field(default_factory=list)
    surprise: list[tuple[float, float]] = field(default_factory=list)  # sums of -log p of the true tokens: source, ours
    num_true: int = 0  # of the tokens, those of true answers

    def add(self, source: Logits, ours: Logits, answer: Tokens, *, is_true: bool = True) -> None:
        """Logits (answer's tokens, vocab). An answer that is not the true one, but what the source says, tells nothing
        of perplexity."""
        p, q = _log_softmax(source), _log_softmax(ours)
        self.kl.append((np.exp(p) * (p - q)).sum(-1))
        self.same_best.append(source.argmax(-1) == ours.argmax(-1))
        if is_true:
            rows = np.arange(len(answer))
            self.surprise.append((-p[rows, answer].sum(), -q[rows, answer].sum()))
            self.num_true += len(answer)

    @property
    def each_kl(self) -> NDArray[np.float64]:
        """Of each token, shape (n,)."""
        return np.concatenate(self.kl)

    @property
    def top1(self) -> float:
        """Share of tokens for which both find the same one likeliest."""
        return float(np.concatenate(self.same_best).mean())

    @property
    def perplexities(self) -> tuple[float, float] | None:
        """Of the true answers, for the source and for ours; None where no true answer is known."""
        if not self.num_true:
            return None
        before, after = np.exp(np.sum(self.surprise, axis=0) / self.num_true)
        return float(before), float(after)


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    values: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return values
