"""One example: a conversation up to its question, and the answer that would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from edge.media.visual import Conversation, FramePair, Visual, VisualKind
from stream.tasks.geometry import Picture

FPS = 2.0  # frames a second of what is drawn or cut out of clips


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    conversation: Conversation  # the last message is the question
    answer: str  # "" when nobody knows it
    where: str  # it was found, for people: "line 3", "clip.mp4", "scene 10000"

    @classmethod
    def of(
        cls, kind: VisualKind, groups: Iterable[FramePair], question: str, answer: str = "", where: str = ""
    ) -> Self:
        """A question about one picture, or about one video of FPS frames a second."""
        pairs = tuple(groups)
        seconds = tuple((2 * index + 1) / FPS if kind == "video" else 0.0 for index in range(len(pairs)))
        content = [{"type": kind}, {"type": "text", "text": question}]
        conversation = Conversation(({"role": "user", "content": content},), (Visual(kind, pairs, seconds),))
        return cls(conversation, answer, where)

    @property
    def groups(self) -> tuple[FramePair, ...]:
        """Of all its pictures and videos, in their order."""
        return tuple(group for visual in self.conversation.visuals for group in visual.groups)

    @property
    def picture(self) -> Picture | None:
        """The size of what was shown last, which boxes speak of; None where nothing is shown."""
        groups = self.groups
        return Picture(*groups[-1].shape[1:3]) if groups else None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An example that is left out, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where} is left out: {self.reason}"


Report = Callable[[Unusable], None]
"""Is told of each example that is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSet:
    """Examples that are read one by one, as they are asked for."""

    what: str  # they are, for people: "conversations", "clips and pictures", "drawn scenes"
    most: int  # how many there can be
    examples: Iterable[Example]
