from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.commands.describe import Answer, describe_file
from edge.errors import PromptError
from edge.models.qwen2_vl import QWEN2_VL
from stream.errors import StreamError


class Said:
    """A reply that is complete."""

    finish = "stop"
    usage = SimpleNamespace(visual_tokens=1450, text_tokens=20, generated_tokens=30)

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Iterator[str]:
        yield self.text


def described(folder: Path, text: str) -> Answer:
    """What is made of the text as an answer about a picture that the model sees at 700x1400."""
    picture = folder / "picture.png"
    Image.fromarray(np.zeros((700, 1400, 3), np.uint8)).save(picture)
    engine: Any = SimpleNamespace(limits=QWEN2_VL.limits, chat=lambda conversation, sampling: Said(text))
    return describe_file(engine, str(picture), None, fps=2.0, max_pixels=10**7, max_tokens=64)


def test_boxes_in_pixels_are_those_of_the_picture_as_the_model_saw_it(tmp_path: Path) -> None:
    answer = described(tmp_path, '[{"bbox_2d": [140, 175, 1400, 350], "label": "dog"}]')

    assert answer.box_lines() == ["dog [10% 25% 100% 50%]"]
    assert answer.to_dict()["boxes"] == [{"label": "dog", "x1": 0.1, "y1": 0.25, "x2": 1.0, "y2": 0.5}]
    assert answer.to_dict()["flags"] == []


def test_what_was_amiss_with_the_boxes_is_said(tmp_path: Path) -> None:
    answer = described(tmp_path, "a dog (100,200),(300,1400)")

    assert answer.box_lines() == ["dog [10% 20% 30% 100%]", "[clamped]"]
    assert answer.to_dict()["flags"] == ["clamped"]


@pytest.mark.parametrize(("name", "says"), [("no.jpg", "no file no.jpg"), ("no.mp4", "no.mp4"), ("bad.png", "bad.png")])
def test_an_error_speaks_of_the_file_and_not_of_messages(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.png").write_text("no picture at all")
    engine: Any = SimpleNamespace(limits=QWEN2_VL.limits)
    with pytest.raises((StreamError, PromptError), match=says) as caught:
        describe_file(engine, name, None, fps=2.0, max_pixels=10**7, max_tokens=64)
    assert "messages[" not in str(caught.value) and "content[" not in str(caught.value)
