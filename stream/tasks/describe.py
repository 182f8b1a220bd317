"""What happens in the window, in words."""

from __future__ import annotations

from collections.abc import Mapping

from stream.tasks import Finding
from stream.tasks.boxes import parse_boxes
from stream.tasks.geometry import Picture


class Describe:
    choices: tuple[str, ...] = ()

    def __init__(self, prompt: str = "Describe the video.", name: str = "describe", max_tokens: int = 128) -> None:
        self.name = name
        self.max_tokens = max_tokens
        self._prompt = prompt

    def prompt(self) -> str:
        return self._prompt

    def parse(self, text: str, probabilities: Mapping[str, float], picture: Picture | None = None) -> Finding:
        parsed = parse_boxes(text, picture=picture)  # a prompt may ask for a description with boxes
        return Finding(parsed.text, parsed.boxes, parsed.flags)
