"""What an answer will probably say: what the last answer to the same question said.

Pure policy over lists of tokens. Knows no model and no clock: a wrong guess costs time and changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

FOUND_BY = (3, 2)  # tokens just said that must stand in the earlier answer for its place to be found again
FIRST_ACCEPTANCE = 0.8  # until it is known
MEMORY = 32  # guesses over which acceptance is averaged
KEPT_QUESTIONS = 16  # of one stream; whoever asks from outside may ask anything


class Draft:
    """The rest of an earlier answer, from the place that the new one has reached.

    Args:
        earlier: tokens of the earlier answer; none for a question that is new.
        acceptance: share of guesses, one token each, that were right lately.
    """

    def __init__(self, earlier: Sequence[int] = (), acceptance: float = FIRST_ACCEPTANCE) -> None:
        self.acceptance = acceptance
        self._earlier = tuple(earlier)
        self._said: list[int] = []
        self._place = 0  # in the earlier answer, of the token that may come next
        self._is_on_track = True  # the last token was as expected, or the place was found again

    def follow(self, token: int) -> None:
        """The new answer goes on with this token."""
        self._said.append(token)
        expected = self.guess(1)
        if expected:
            self.acceptance += ((token == expected[0]) - self.acceptance) / MEMORY
        if self._earlier[self._place : self._place + 1] == (token,):
            self._place, self._is_on_track = self._place + 1, True
        else:
            self._find_place()

    def guess(self, most: int) -> tuple[int, ...]:
        """At most so many tokens that may come next; none while the answers have little in common."""
        return self._earlier[self._place : self._place + most] if self._is_on_track else ()

    def _find_place(self) -> None:
        """Behind the last tokens said, where the earlier answer has them too, as near as can be. Otherwise one further,
        as if a word had been replaced; that is believed when the next token fits."""
        for length in FOUND_BY:
            if places := self._places_behind(tuple(self._said[-length:])):
                self._place, self._is_on_track = min(places, key=lambda place: abs(place - self._place)), True
                return
        self._place, self._is_on_track = self._place + 1, False

    def _places_behind(self, tokens: tuple[int, ...]) -> list[int]:
        length = len(tokens)
        ends = range(length, len(self._earlier) + 1)
        return [end for end in ends if self._earlier[end - length : end] == tokens]


class Drafts:
    """The last answer to each question of one stream; the questions asked last are kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[tuple[int, ...], float]] = OrderedDict()

    def draft(self, question: str) -> Draft:
        return Draft(*self._kept.get(question, ()))

    def keep(self, question: str, answer: Sequence[int], acceptance: float) -> None:
        self._kept[question] = (tuple(answer), acceptance)
        self._kept.move_to_end(question)
        if len(self._kept) > KEPT_QUESTIONS:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
