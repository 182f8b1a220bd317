"""One of each kind that `edge watch` takes, by somebody who has read README and nothing else:

edge watch my_plugins:Lamp --task my_plugins:Brightness --sink my_plugins:Keep --runner my_plugins:Counting
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.runners.pytorch import PyTorchRunner
from stream.event import Event
from stream.frame import Frame, Pixels
from stream.tasks import Finding
from stream.tasks.geometry import Picture


class Lamp:
    """A source: a lamp that is switched on after two seconds."""

    live, name, codec = False, "lamp", ""

    def __iter__(self) -> Iterator[Frame]:
        for index in range(16):
            picture = np.full((112, 112, 3), 250 if index >= 8 else 10, np.uint8)
            yield Frame(picture, pts=index / 4, captured=time.monotonic(), clock="file")

    def close(self) -> None: ...


class Brightness:
    """A task: asks in its own words, and understands the answer in its own way."""

    name, max_tokens = "brightness", 12
    choices: tuple[str, ...] = ()

    def prompt(self) -> str:
        return "Describe the picture."

    def parse(self, text: str, probabilities: Mapping[str, float], picture: Picture | None = None) -> Finding:
        return Finding(f"it was said: {text.removesuffix('<|im_end|>')}")


class Keep:
    """A sink: a line for each event."""

    def __init__(self) -> None:
        self._file = Path("kept.txt").open("w", encoding="utf-8")  # noqa: SIM115 (closed in `close`)

    def publish(self, event: Event, picture: Pixels) -> None:
        self._file.write(f"{event.stream} {event.task} {picture.mean():.0f} {event.text}\n")

    def close(self) -> None:
        self._file.close()


class Counting(PyTorchRunner):
    """A runner: PyTorch's, which leaves behind how many groups it has encoded."""

    num_encoded = 0

    def encode(self, pixels: Any) -> Any:
        Counting.num_encoded += 1
        Path("encoded.txt").write_text(str(Counting.num_encoded), encoding="utf-8")
        return super().encode(pixels)
