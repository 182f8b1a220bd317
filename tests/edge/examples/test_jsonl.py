"""Conversations of a file: the forms that are read, whose paths they are, and lines that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge.errors import NoExamples
from edge.examples.example import Example, Unusable
from edge.examples.jsonl import JsonLines
from edge.examples.own import own_examples
from edge.hub import POCKET
from edge.media.limits import Limits
from edge.models.qwen2_vl import QWEN2_VL
from stream.clip import write_clip

LIMITS = Limits.load(POCKET, QWEN2_VL.limits)
TEXT = {"type": "text", "text": "Is there a red circle?"}
ASKED = {"role": "user", "content": [{"type": "image", "image": "door.png"}, TEXT]}
GOOD = json.dumps({"messages": [ASKED, {"role": "assistant", "content": "Yes."}]})

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of these lines, with a picture and a clip beside it."""
    Image.fromarray(np.zeros((112, 168, 3), np.uint8)).save(tmp_path / "door.png")

    def write_lines(*lines: str | bytes) -> Path:
        path = tmp_path / "prompts.jsonl"
        path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
        return path

    return write_lines


def read(path: Path) -> tuple[list[Example], list[Unusable]]:
    left_out: list[Unusable] = []
    return list(JsonLines(path, LIMITS, left_out.append)), left_out


def test_the_last_message_of_the_assistant_is_the_true_answer(write: Write) -> None:
    parts = [{"type": "text", "text": "It is "}, {"type": "text", "text": "red."}]
    (plain, in_parts, unknown), left_out = read(
        write(
            GOOD,
            json.dumps([ASKED, {"role": "assistant", "content": parts}]),
            "",
            json.dumps({"messages": [ASKED], "source": "a field of somebody's own"}),
        )
    )
    assert [each.answer for each in (plain, in_parts, unknown)] == ["Yes.", "It is red.", ""]
    assert [each.where for each in (plain, in_parts, unknown)] == ["line 1", "line 2", "line 4"]
    assert all([message["role"] for message in each.conversation.messages] == ["user"] for each in (plain, in_parts))
    assert left_out == []


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": "door.png"},
        {"type": "image_url", "image_url": {"url": "door.png", "detail": "low"}},
        {"type": "video", "video": "clip.mp4"},
        {"type": "video", "video": ["door.png", "door.png"]},
    ],
)
def test_paths_are_those_of_the_files_own_folder(
    part: dict[str, Any], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "clip.mp4", [np.zeros((112, 168, 3), np.uint8)] * 10, fps=10)
    path = write(json.dumps([{"role": "user", "content": [part, TEXT]}]))
    monkeypatch.chdir("/")
    (example,), left_out = read(path)
    assert left_out == [] and example.groups[0].shape == (2, 112, 168, 3)


def test_pictures_that_say_nothing_of_their_size_are_looked_at_as_a_streams_frames(
    write: Write, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((900, 1200, 3), np.uint8)).save(tmp_path / "large.png")
    large = [{"type": "image", "image": "large.png"}, {"type": "image", "image": "large.png", "max_pixels": 700_000}]
    path = write(json.dumps([{"role": "user", "content": [*large, TEXT]}]))
    (example,) = JsonLines(path, QWEN2_VL.limits, pytest.fail)
    usual, asked = (group.shape[1] * group.shape[2] for group in example.groups)
    assert usual <= 448 * 448 < asked <= 700_000


BROKEN = [
    ("{", "no JSON"),
    ("[" * 100_000, "no JSON"),
    (b'{"messages": "\xff\xfe"}', "no UTF-8 text|not UTF-8 text"),
    ('{"prompt": "Is it?", "image": "door.png"}', "an object with prompt, image"),
    ("{}", "an object with nothing"),
    ("7", "no messages but 7"),
    ('{"messages": []}', "no messages"),
    ('{"messages": [7]}', r"messages\[0\] is a int"),
    ('{"messages": [{"role": "teacher", "content": "x"}]}', "the role 'teacher'"),
    ('{"messages": [{"role": "assistant", "content": "Yes."}]}', "at least one message"),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": null}]}', "is no text"),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]}', "is no text"),
    ('{"messages": [{"role": "user", "content": [{"type": "image", "image": "no.png"}]}]}', "there is no file"),
    ('{"messages": [{"role": "user", "content": [{"type": "image", "image": "prompts.jsonl"}]}]}', "no picture|decode"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN)
def test_a_broken_line_is_told_by_number_and_reason_and_the_rest_is_read(
    line: str | bytes, reason: str, write: Write
) -> None:
    examples, (left_out,) = read(write(GOOD, "", line, GOOD))
    assert [example.where for example in examples] == ["line 1", "line 4"]
    assert left_out.where == "line 3"
    with pytest.raises(ValueError, match=reason):
        raise ValueError(left_out.reason)


def test_what_the_reader_of_the_examples_cannot_use_is_left_out_too(write: Write) -> None:
    left_out: list[Unusable] = []
    lines = JsonLines(write(GOOD, GOOD), LIMITS, left_out.append, lambda e: "too dull" if e.where == "line 1" else "")
    assert [example.where for example in lines] == ["line 2"]
    assert list(map(str, left_out)) == ["line 1 is left out: too dull"]


def test_a_file_is_read_no_further_than_it_is_asked_for(write: Write) -> None:
    found = own_examples(write(GOOD, GOOD, "{"), 2, LIMITS, pytest.fail)
    assert found.most == 2 and len(list(found.examples)) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_line(write: Write) -> None:
    examples, left_out = read(write(b"\xef\xbb\xbf" + GOOD.encode()))
    assert len(examples) == 1 and left_out == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", "\n \n", "is empty"),
        ("broken.jsonl", "{\n{", "none of the 2 lines"),
        ("nowhere.jsonl", None, "there is no"),
        ("prompts.csv", "a,b", "does not end in .jsonl"),
    ],
)
def test_a_file_without_examples_is_named(name: str, content: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(NoExamples, match=says):
        list(own_examples(path, None, LIMITS, lambda unusable: None).examples)
