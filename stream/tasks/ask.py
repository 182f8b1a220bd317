"""A question to be answered with yes or no, and how sure the model is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from stream.tasks import Finding
from stream.tasks.boxes import readable
from stream.tasks.geometry import Picture

YES, NO = "Yes", "No"


class Ask:
    """The answer is decided by the probability of the first word; nothing more needs to be said."""

    choices: tuple[str, ...] = (YES, NO)

    def __init__(self, question: str, name: str = "ask", max_tokens: int = 1) -> None:
        self.question = question.strip()
        if not self.question:
            raise ValueError('The question is empty: ask something, for example "Is there a person?".')
        self.name = name
        self.max_tokens = max_tokens

    def prompt(self) -> str:
        return f"{self.question} Answer yes or no."

    def parse(self, text: str, probabilities: Mapping[str, float], picture: Picture | None = None) -> Finding:
        p_yes = _probability(probabilities)
        answer = spoken(text) if p_yes is None else "yes" if p_yes >= 0.5 else "no"
        return Finding(readable(text) or answer or "", answer=answer, p_yes=p_yes)


def _probability(probabilities: Mapping[str, float]) -> float | None:
    """Of yes, among the two; None where the engine could not say."""
    yes, no = probabilities.get(YES, math.nan), probabilities.get(NO, math.nan)
    if not (math.isfinite(yes) and math.isfinite(no) and yes >= 0 and no >= 0 and yes + no > 0):
        return None
    return yes / (yes + no)


def spoken(text: str) -> str | None:
    """ "yes" or "no", where an answer begins with one of them."""
    words = readable(text).lower().split()
    first = words[0].strip(".,;:!?\"'") if words else ""
    return first if first in {"yes", "no"} else None
