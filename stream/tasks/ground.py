"""Where something is: boxes in the window's newest frame."""

from __future__ import annotations

from collections.abc import Mapping

from stream.tasks import Finding
from stream.tasks.boxes import parse_boxes


class Ground:
    """Looks for one label. The model answers best when asked for one thing at a time."""

    choices: tuple[str, ...] = ()

    def __init__(self, label: str, name: str | None = None, max_tokens: int = 128) -> None:
        self.label = label.strip()
        if not self.label:
            raise ValueError('The label to look for is empty: name a thing, for example "person".')
        self.name = name or f"ground:{self.label}"
        self.max_tokens = max_tokens

    def prompt(self) -> str:
        return f"Find the {self.label}."

    def parse(self, text: str, probabilities: Mapping[str, float]) -> Finding:
        parsed = parse_boxes(text, self.label)
        return Finding(parsed.text, parsed.boxes)
