"""What a model is shown while it is quantized is what it will be asked: its own template, video, true answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.calibration.prompts import (
    LONGEST,
    CalibrationExample,
    CalibrationPrompt,
    PromptBuilder,
    digest,
    folder_examples,
    synthetic_examples,
)
from edge.engine.prompt import prompt_positions, stream_prefix, stream_suffix
from edge.engine.tokenizer import Tokenizer
from edge.hub import POCKET
from edge.media.limits import Limits
from edge.models.architecture import read_config
from edge.models.qwen2_vl import QWEN2_VL
from edge.models.qwen2_vl.layout import LAYOUT
from quantize.errors import NothingToCalibrate
from stream.clip import write_clip
from stream.sources.file import FileSource
from stream.sources.scene import Scene

MAX_PIXELS = 448 * 448
LIMITS = Limits.load(POCKET, QWEN2_VL.limits)


@pytest.fixture(scope="module")
def builder() -> PromptBuilder:
    return PromptBuilder(Tokenizer.load(POCKET), read_config(POCKET))


@pytest.fixture(scope="module")
def shown(builder: PromptBuilder) -> list[CalibrationPrompt]:
    return [builder.build(example) for example in synthetic_examples(6, 0, LIMITS, MAX_PIXELS)]


def test_a_prompt_is_laid_out_as_a_stream_asks_it(builder: PromptBuilder) -> None:
    example = next(synthetic_examples(1, 0, LIMITS, MAX_PIXELS))
    prompt, tokenizer = builder.build(example), builder.tokenizer
    prefix, suffix = stream_prefix(tokenizer, LAYOUT), stream_suffix(tokenizer, LAYOUT, example.question)
    rows, columns = (side // 28 for side in example.groups[0].shape[1:3])
    video, answer = len(example.groups) * rows * columns, tokenizer.encode(f"{example.answer}<|im_end|>")
    assert prompt.tokens[~prompt.vision].tolist() == [*prefix, *suffix, *answer]
    assert prompt.vision.nonzero()[0].tolist() == list(range(len(prefix), len(prefix) + video))
    parts = [len(prefix), (len(example.groups), rows, columns), len(suffix), len(answer)]
    assert np.array_equal(prompt.positions, prompt_positions(LAYOUT, parts))


def test_equal_seeds_show_the_same_and_others_something_else(
    builder: PromptBuilder, shown: list[CalibrationPrompt]
) -> None:
    again, other = (
        [builder.build(example) for example in synthetic_examples(6, seed, LIMITS, MAX_PIXELS)] for seed in (0, 1)
    )
    assert digest(shown) == digest(again) != digest(other)


def test_windows_of_several_lengths_are_shown(shown: list[CalibrationPrompt]) -> None:
    assert len({len(prompt.groups) for prompt in shown}) > 1
    assert max(len(prompt.groups) for prompt in shown) <= LONGEST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = Scene(5, 160, 120, duration=12.0)
    write_clip(tmp_path / "b.mp4", (scene.render(t, 120, 160) for t in np.arange(0, 6, 0.1)), fps=10)
    Image.fromarray(scene.render(0.0, 120, 160)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("A drawn scene.\n")
    (tmp_path / "c.mp4").write_bytes(b"no video at all")
    (tmp_path / "notes.md").write_text("not shown")
    return tmp_path


def test_clips_and_pictures_take_turns_and_captions_are_the_answers(folder: Path, builder: PromptBuilder) -> None:
    found: list[CalibrationExample] = list(folder_examples(folder, 4, LIMITS, MAX_PIXELS))
    assert [(example.kind, len(example.groups)) for example in found] == [
        ("image", 1),
        ("video", LONGEST),
        ("video", 1),
    ]
    assert [example.answer for example in found] == ["A drawn scene.", "", ""]
    assert all(builder.build(example).vision.any() for example in found)


def test_a_broken_picture_is_passed_over_like_a_broken_clip(folder: Path) -> None:
    (folder / "aa.png").write_bytes(b"no picture at all")
    found = folder_examples(folder, 4, LIMITS, MAX_PIXELS)
    assert [example.kind for example in found] == ["image", "video", "video"]


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
    with pytest.raises(NothingToCalibrate, match="holds no readable clip or picture"):
        list(folder_examples(tmp_path, 4, LIMITS, MAX_PIXELS))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NothingToCalibrate, match="is no folder"):
        list(folder_examples(tmp_path / "nowhere", 4, LIMITS, MAX_PIXELS))
