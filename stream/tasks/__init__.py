"""What can be asked of a window. A task is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stream.event import Box
from stream.tasks.geometry import Picture

TASKS = {
    "describe": "stream.tasks.describe:Describe",
    "ground": "stream.tasks.ground:Ground",
    "ask": "stream.tasks.ask:Ask",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer, understood: text for people, values for programs."""

    text: str
    boxes: tuple[Box, ...] = ()
    flags: tuple[str, ...] = ()  # what was amiss with the boxes, or left out of them
    answer: str | None = None  # "yes" or "no"
    p_yes: float | None = None


class Task(Protocol):
    name: str
    choices: tuple[str, ...]  # first words whose probability is wanted; usually none
    max_tokens: int

    def prompt(self) -> str: ...

    def parse(self, text: str, probabilities: Mapping[str, float], picture: Picture | None = None) -> Finding:
        """`picture` is the newest frame's size as the model saw it, for boxes in pixels; None: not known.

        Never raises: a broken answer becomes a Finding with fewer boxes, and flags that say so.
        """
        ...
