"""Whether an answer is news: another one than the last that was told of the same task.

Knows events of one stream. An answer is compared with the last that was told, not with the last that was given: what
drifts slowly is told once it has come far enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.event import Box, Event

SAME_PLACE = 0.8
"""Intersection over union from which two boxes are one that stands still. A model draws a still thing's box a little
differently each time, on a grid of a thousand; at 0.8 it has moved by a ninth of its side."""


class Changes:
    """Of one stream."""

    def __init__(self) -> None:
        self._told: dict[str, Event] = {}  # by task

    def is_news(self, event: Event) -> bool:
        """The first answer always is; whatever is, counts as told."""
        last = self._told.get(event.task)
        if last is not None and is_same(last, event):
            return False
        self._told[event.task] = event
        return True


def is_same(one: Event, other: Event) -> bool:
    """Yes and no without their probability, words without capitals and spacing, boxes by label and place."""
    if one.answer is not None or other.answer is not None:
        return one.answer == other.answer
    return _words(one.text) == _words(other.text) and _stand_still(one.boxes, other.boxes)


def _words(text: str) -> list[str]:
    return text.casefold().split()


def _stand_still(before: Sequence[Box], after: Sequence[Box]) -> bool:
    """Each box of one has a partner of its own among the others."""
    left = list(after)
    for box in before:
        partner = max((each for each in left if each.label == box.label), key=box.iou, default=None)
        if partner is None or box.iou(partner) < SAME_PLACE:
            return False
        left.remove(partner)
    return not left
