"""What was said of which window: Event, Box, and their JSON, which EVENTS.md describes.

Pure values. Knows nothing of delivery; coordinates are fractions of the picture.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

SCHEMA = 1
"""Of an event's JSON. New fields leave it as it is; whatever else changes makes it another one."""


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
    id: str = ""  # no other event's, in any run; sorts by publication (event_id.py)
    time: str = ""  # RFC 3339 in UTC, milliseconds: the wall clock when the newest frame reached this process
    span: float = 0.0  # seconds from the oldest frame to the newest
    seconds: float = 0.0  # of video that the window covers: `span` and as long as the newest sample stands
    spacing: float = 0.0  # seconds between two frames of the window
    question: str = ""  # in the words that were put to the model
    stale: bool = False  # older, when it was published, than whoever watches wants answers to be
    accepted: int = 0  # tokens of the answer that the task's last answer foretold, which took no pass of their own

    def to_dict(self) -> dict[str, Any]:
        written = {"schema": SCHEMA, **asdict(self)}
        written["groups"] = list(self.groups)
        written["boxes"] = [asdict(box) for box in self.boxes]
        written["flags"] = list(self.flags)
        return written

    def to_json(self) -> str:
        """One line, no line breaks inside."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> Event:
        """Fields that a later version added are passed over. Raises ValueError for another schema."""
        if (schema := written.get("schema", SCHEMA)) != SCHEMA:
            raise ValueError(f"the event has schema {schema}, and this version reads {SCHEMA}. Install a newer one.")
        boxes = tuple(Box(**box) for box in written["boxes"])
        first, last = written["groups"]
        flags = tuple(written.get("flags", ()))
        known = {field.name: written[field.name] for field in fields(cls) if field.name in written}
        return cls(**{**known, "groups": (first, last), "boxes": boxes, "flags": flags})


def rfc3339(since_1970: float) -> str:
    """Seconds since 1970 as text that sorts by time.

    >>> rfc3339(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    return datetime.fromtimestamp(since_1970, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
