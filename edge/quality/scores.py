"""How right free answers are, judged by the true ones: yes or no, boxes, words. Knows texts and boxes, no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.event import Box
from stream.tasks.ask import spoken
from stream.tasks.boxes import parse_boxes, readable
from stream.tasks.geometry import Picture

GOOD = 0.5  # intersection over union from which on a box counts as found
PUNCTUATION = ".,;:!"


@dataclass
class Scores:
    """Sums over examples; each answer is judged by what its true answer is."""

    yes_or_no: list[bool] = field(default_factory=list)  # right?
    ious: list[float] = field(default_factory=list)  # of each true box with the one that was found for it, or 0
    num_said: int = 0  # boxes
    words: list[float] = field(default_factory=list)  # F1 of each other answer

    def add(self, truth: str, said: str, picture: Picture | None = None) -> None:
        boxes, found = (parse_boxes(text, picture=picture).boxes for text in (truth, said))
        if boxes:
            self.ious += matched(boxes, found)
            self.num_said += len(found)
        elif verdict := yes_or_no(truth):
            self.yes_or_no.append(spoken(said) == verdict)
        else:  # a box where none belongs is wrong, whatever stands beside it
            self.words.append(0.0 if found else word_f1(readable(truth), readable(said)))

    def figures(self) -> dict[str, float]:
        """Each from 0 to 1; only those that the true answers allow."""
        found: dict[str, float] = {}
        if self.yes_or_no:
            found["yes_no_accuracy"] = sum(self.yes_or_no) / len(self.yes_or_no)
        if self.ious:
            good = sum(iou >= GOOD for iou in self.ious)
            found["box_iou"] = sum(self.ious) / len(self.ious)
            found["box_f1"] = 2 * good / (len(self.ious) + self.num_said)
        if self.words:
            found["word_f1"] = sum(self.words) / len(self.words)
        return found

    def counts(self) -> dict[str, int]:
        """Answers or boxes behind each figure."""
        behind = {
            "yes_no_accuracy": len(self.yes_or_no), "box_iou": len(self.ious), "box_f1": len(self.ious),
            "word_f1": len(self.words),
        }  # fmt: skip
        return {name: count for name, count in behind.items() if count}


def yes_or_no(text: str) -> str | None:
    """What an answer says that is yes or no, and perhaps goes on ("No, it is closed."); None for any other."""
    words = readable(text).split()
    if words and (len(words) == 1 or words[0][-1] in PUNCTUATION):
        return spoken(words[0])
    return None


def matched(true: Sequence[Box], said: Sequence[Box]) -> list[float]:
    """For each true box its IoU with a box that was said, each of which serves once, the nearest pairs first; 0 where
    none is left. Labels must agree where both have one."""
    pairs = sorted(
        ((box.iou(other), i, j) for i, box in enumerate(true) for j, other in enumerate(said) if _alike(box, other)),
        reverse=True,
    )
    found = dict.fromkeys(range(len(true)), 0.0)
    free_true, free_said = set(range(len(true))), set(range(len(said)))
    for iou, i, j in pairs:
        if i in free_true and j in free_said:
            found[i] = iou
            free_true.remove(i)
            free_said.remove(j)
    return list(found.values())


def _alike(one: Box, other: Box) -> bool:
    return not (one.label and other.label) or one.label.casefold() == other.label.casefold()


def word_f1(truth: str, said: str) -> float:
    """Of the words that both have, as often as both have them, whatever their case and punctuation."""
    true, found = _words(truth), _words(said)
    common = (true & found).total()
    return 2 * common / (true.total() + found.total()) if common else float(not true and not found)


def _words(text: str) -> Counter[str]:
    cleaned = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    return Counter(cleaned.split())
