"""What was said of which window: Event, Box, and their JSON.

Pure values. Knows nothing of delivery; coordinates are fractions of the picture.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle, coordinates from 0 (left, top) to 1 (right, bottom), x1 < x2 and y1 < y2."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def area(self) -> float:
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / (self.area + other.area - width * height)


@dataclass(frozen=True, slots=True)
class Event:
    """One answer to one task about one window of one stream."""

    stream: str  # name or redacted address of the source
    task: str  # name of the task that asked
    seq: int  # counts the stream's events from 0; -1: the answer to a question from outside
    groups: tuple[int, int]  # first and last group of the window, inclusive
    start: float  # seconds on the source's clock, oldest frame
    end: float  # seconds on the source's clock, newest frame
    clock: str
    age: float  # seconds from the capture of the newest frame to publication
    text: str
    finish: str  # "stop", "length", "loop" or "cancelled"
    boxes: tuple[Box, ...] = ()  # in the window's newest frame
    flags: tuple[
        str, ...
    ] = ()  # what was amiss with the boxes in the answer, or left out of them (stream/tasks/boxes.py)
    answer: str | None = None  # "yes" or "no", where the task asks for that
    p_yes: float | None = None  # probability of yes, where the task asks for that
    model: str = ""
    variant: str = ""  # how the weights are stored: "float32", "bfloat16", "int4-g128" ...

    def to_dict(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["groups"] = list(self.groups)
        fields["boxes"] = [asdict(box) for box in self.boxes]
        fields["flags"] = list(self.flags)
        return fields

    def to_json(self) -> str:
        """One line, no line breaks inside."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Event:
        boxes = tuple(Box(**box) for box in fields["boxes"])
        first, last = fields["groups"]
        flags = tuple(fields.get("flags", ()))
        return cls(**{**fields, "groups": (first, last), "boxes": boxes, "flags": flags})
