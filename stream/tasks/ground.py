"""Where something is: boxes in the window's newest frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stream.tasks import Finding
from stream.tasks.boxes import parse_boxes
from stream.tasks.geometry import Picture


class Ground:
    """Looks for one label. The model answers best when asked for one thing at a time."""

    choices: tuple[str, ...] = ()

    def __init__(
        self,
        label: str,
        name: str | None = None,
        max_tokens: int = 128,
        in_pixels: bool = False,  # for a model that always answers in pixels, however small the numbers
    ) -> None:
        self.label = label.strip()
        if not self.label:
            raise ValueError('The label to look for is empty: name a thing, for example "person".')
        self.name = name or f"ground:{self.label}"
        self.max_tokens = max_tokens
        self._in_pixels = in_pixels

    def prompt(self) -> str:
        return f"Find the {self.label}."

    def parse(self, text: str, probabilities: Mapping[str, float], picture: Picture | None = None) -> Finding:
        if picture is not None and self._in_pixels:
            picture = replace(picture, in_pixels=True)
        parsed = parse_boxes(text, self.label, picture=picture)
        return Finding(parsed.text, parsed.boxes, parsed.flags)
