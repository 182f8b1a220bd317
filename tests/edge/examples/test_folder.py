"""Clips and pictures of a folder take turns, and what cannot be read there is passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.calibration.prompts import PromptBuilder
from edge.engine.tokenizer import Tokenizer
from edge.errors import NoExamples
from edge.examples.example import Example
from edge.examples.folder import LONGEST, folder_examples
from edge.hub import POCKET
from edge.media.limits import Limits
from edge.models.architecture import read_config
from edge.models.qwen2_vl import QWEN2_VL
from stream.clip import write_clip
from stream.sources.file import FileSource
from stream.sources.scene import Scene

MAX_PIXELS = 448 * 448
LIMITS = Limits.load(POCKET, QWEN2_VL.limits)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = Scene(5, 160, 120, duration=12.0)
    write_clip(tmp_path / "b.mp4", (scene.render(t, 120, 160) for t in np.arange(0, 6, 0.1)), fps=10)
    Image.fromarray(scene.render(0.0, 120, 160)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("A drawn scene.\n")
    (tmp_path / "c.mp4").write_bytes(b"no video at all")
    (tmp_path / "notes.md").write_text("not shown")
    return tmp_path


def kind(example: Example) -> str:
    (visual,) = example.conversation.visuals
    return visual.kind


def test_clips_and_pictures_take_turns_and_captions_are_the_answers(folder: Path) -> None:
    found: list[Example] = list(folder_examples(folder, 4, LIMITS, MAX_PIXELS))
    assert [(kind(example), len(example.groups)) for example in found] == [
        ("image", 1),
        ("video", LONGEST),
        ("video", 1),
    ]
    assert [example.answer for example in found] == ["A drawn scene.", "", ""]
    builder = PromptBuilder(Tokenizer.load(POCKET), read_config(POCKET))
    assert all(builder.build(example).vision.any() for example in found)


def test_a_broken_picture_is_passed_over_like_a_broken_clip(folder: Path) -> None:
    (folder / "aa.png").write_bytes(b"no picture at all")
    found = folder_examples(folder, 4, LIMITS, MAX_PIXELS)
    assert [kind(example) for example in found] == ["image", "video", "video"]


def test_every_clip_is_closed_though_it_was_not_read_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[FileSource] = []
    close = FileSource.close
    monkeypatch.setattr(FileSource, "close", lambda source: (closed.append(source), close(source)))
    list(folder_examples(folder, 2, LIMITS, MAX_PIXELS))
    assert len(closed) == 1  # the folder's other clip cannot be opened


def test_a_folder_gives_no_more_than_was_asked_for(folder: Path) -> None:
    assert len(list(folder_examples(folder, 2, LIMITS, MAX_PIXELS))) == 2


@pytest.mark.parametrize("files", [(), ("c.mp4",), ("notes.md",)])
def test_a_folder_without_anything_readable_is_named(files: tuple[str, ...], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"no video at all")
    with pytest.raises(NoExamples, match="holds no readable clip or picture"):
        list(folder_examples(tmp_path, 4, LIMITS, MAX_PIXELS))
