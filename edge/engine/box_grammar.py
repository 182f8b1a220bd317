"""Between its markers a box is written in the one form that can be read, whatever the model would rather say:

    <|box_start|>(x1,y1),(x2,y2)<|box_end|>      whole numbers from 0 to 1000

A token that does not fit gives way to the likeliest that does; a model that keeps the form costs nothing. A box that
would not fit into the answer any more is not begun. Knows tokens and their spelling; no model and no picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.engine.tokenizer import Tokenizer
from edge.runners import Prediction

START, END = "<|box_start|>", "<|box_end|>"
FORM = "(#,#),(#,#)"  # of which each # is a number
LARGEST = 1000
CHARACTERS = "(),0123456789"
LONGEST = len("(1000,1000),(1000,1000)") + 2  # tokens of a box, at most, with its markers


@dataclass(frozen=True, slots=True)
class BoxGrammar:
    """What a vocabulary has for writing boxes."""

    start: int
    end: int
    spellings: Mapping[int, str]  # of all tokens that consist of CHARACTERS

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> BoxGrammar | None:
        """None for a vocabulary without boxes."""
        start, end = tokenizer.special.get(START), tokenizer.special.get(END)
        if start is None or end is None:
            return None
        return cls(start, end, tokenizer.spelled_with(CHARACTERS))


class BoxWriter:
    """One reply's boxes."""

    def __init__(self, grammar: BoxGrammar) -> None:
        self._grammar = grammar
        self._written: str | None = None  # of the box that is being written; None: none is

    def choose(self, token: int, prediction: Prediction, room: int) -> int | None:
        """As `Form` has it."""
        grammar = self._grammar
        if self._written is None:
            if token != grammar.start:
                return token
            if room < LONGEST:
                return None
            self._written = ""
            return token
        fitting = self._fitting(self._written)
        if token not in fitting and fitting:
            logits = prediction.logits()[-1]
            token = max(fitting, key=lambda each: (float(logits[each]), -each))
        self._written = None if token == grammar.end else self._written + grammar.spellings.get(token, "")
        return token

    def close(self) -> bool:
        return False

    def _fitting(self, written: str) -> list[int]:
        if is_whole(written):
            return [self._grammar.end]
        return [token for token, text in self._grammar.spellings.items() if is_beginning(written + text)]


def is_whole(text: str) -> bool:
    """
    >>> is_whole("(12,34),(560,1000)"), is_whole("(12,34),(560,1001)"), is_whole("(12,34),(560,10")
    (True, False, False)
    """
    return _progress(text) == len(FORM)


def is_beginning(text: str) -> bool:
    """Of a box, or a whole one.

    >>> is_beginning("(12,34),"), is_beginning("(12 "), is_beginning("(012")
    (True, False, False)
    """
    return _progress(text) is not None


def _progress(text: str) -> int | None:
    """How much of FORM is written; None for what it cannot begin with."""
    place, number = 0, ""
    for character in text:
        if place < len(FORM) and FORM[place] == "#":
            if character in "0123456789":
                number += character
                if int(number) > LARGEST or (number[0] == "0" and len(number) > 1):
                    return None
                continue
            if not number:
                return None
            place, number = place + 1, ""
        if place == len(FORM) or FORM[place] != character:
            return None
        place += 1
    return place
