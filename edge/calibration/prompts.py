"""Prompts to calibrate with: windows of video through the model's own chat template, with their answers.

Examples come from a folder of clips and pictures (a text file of the same name holds the caption, where there is one),
or from rendered scenes, whose true answers are known. Answers are part of a prompt, for a model reads its own answer
while it writes it. Knows no weights.
"""

from __future__ import annotations

import hashlib
import itertools
import mimetypes
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engine.prompt import Slot, lay_out, prompt_positions
from edge.engine.tokenizer import Tokenizer
from edge.errors import PromptError
from edge.media.limits import Limits
from edge.media.pictures import load_image
from edge.media.visual import FramePair
from edge.models.architecture import Config
from edge.models.family import Positions, Tokens
from edge.pocket.lessons import lessons, observe
from quantize.errors import NothingToCalibrate
from stream.errors import StreamError
from stream.resize import resize
from stream.sampler import groups
from stream.sources.file import FileSource
from stream.sources.scene import Scene

FPS = 2.0
LONGEST = 4  # groups in a calibration window; every group costs as much as two pictures
PICTURE_SIZES = ((336, 448), (336, 336), (252, 448))  # (height, width) of drawn scenes
FIRST_SEED = 500_000_000  # evaluation draws its scenes from far below, training from above
QUESTIONS = ("Describe the video.", "What is happening?", "Describe what changes.")


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPrompt:
    """An example as the model reads it: tokens with the answer, and the pictures that take the places among them."""

    groups: tuple[FramePair, ...]  # all of one size
    tokens: Tokens  # (n,), with video_token where the pictures go
    positions: Positions  # (3, n)
    vision: NDArray[np.bool_]  # (n,): which tokens are pictures


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """Pictures, a question about them and the answer, before they are made into tokens."""

    kind: str  # "video" or "image"
    groups: tuple[FramePair, ...]
    question: str
    answer: str  # "" when nobody knows it


class PromptBuilder:
    """Makes prompts of examples, for one model: its chat template, its tokens, its positions."""

    def __init__(self, tokenizer: Tokenizer, config: Config) -> None:
        self.tokenizer, self.layout = tokenizer, config.family.layout
        self.cell, self.tokens = config.cell, {"image": config.image_token_id, "video": config.video_token_id}

    def build(self, example: CalibrationExample) -> CalibrationPrompt:
        content = [{"type": example.kind}, {"type": "text", "text": example.question}]
        parts = lay_out(self.tokenizer, self.layout, [{"role": "user", "content": content}])
        if example.answer:
            parts.append(self.tokenizer.encode(f"{example.answer}<|im_end|>"))
        token = self.tokens[example.kind]
        rows, columns = (side // self.cell for side in example.groups[0].shape[1:3])
        count = len(example.groups)
        shapes: list[int | tuple[int, int, int]] = []
        rows_of_tokens: list[Tokens] = []
        for part in parts:
            if isinstance(part, Slot):
                shapes.append((count, rows, columns))
                rows_of_tokens.append(np.full(count * rows * columns, token, dtype=np.int64))
            else:
                shapes.append(len(part))
                rows_of_tokens.append(part)
        tokens = np.concatenate(rows_of_tokens)
        return CalibrationPrompt(example.groups, tokens, prompt_positions(self.layout, shapes), tokens == token)


def synthetic_examples(count: int, seed: int, limits: Limits, max_pixels: int) -> Iterator[CalibrationExample]:
    """Rendered scenes with questions of every kind and their true answers."""
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        height, width = PICTURE_SIZES[rng.integers(len(PICTURE_SIZES))]
        num_groups = int(rng.integers(1, LONGEST + 1))
        scene = Scene(FIRST_SEED + int(rng.integers(FIRST_SEED)), width, height, duration=30.0)
        times = rng.uniform(0, 20) + np.arange(2 * num_groups) / FPS
        size = limits.frame_size(height, width, max_pixels=max_pixels)
        frames = np.stack([resize(scene.render(float(t), height, width), size) for t in times])
        asked = lessons(observe(scene, times.tolist()), rng, 8)
        lesson = asked[index % len(asked)]  # descriptions, boxes, yes and no, counts: in turn
        yield CalibrationExample(
            "video", tuple(frames.reshape(num_groups, 2, *frames.shape[1:])), lesson.question, lesson.answer
        )


def folder_examples(folder: Path, count: int, limits: Limits, max_pixels: int) -> Iterator[CalibrationExample]:
    """Windows of the folder's clips and its pictures, in turn, until there are `count` or nothing is left.

    Raises NothingToCalibrate when no file of the folder can be read as a clip or a picture.
    """
    if not folder.is_dir():
        raise NothingToCalibrate(f"{folder} is no folder. Name one with clips and pictures, or leave it out.")
    files = sorted(path for path in folder.iterdir() if _kind(path))
    with ExitStack() as stack:  # closing a reader closes its clip, which is rarely read to its end
        readers = [stack.enter_context(closing(_windows(path, limits, max_pixels))) for path in files]
        found = list(itertools.islice(_in_turn(readers), count))
    if not found:
        named = ", ".join(path.name for path in files[:5]) or "no file that looks like one"
        raise NothingToCalibrate(
            f"{folder} holds no readable clip or picture (found {named}). "
            "Put some videos (.mp4, .mkv, .avi) or pictures (.jpg, .png) there."
        )
    yield from found


def digest(prompts: list[CalibrationPrompt]) -> str:
    """SHA-256 over everything the model is shown: equal digests, equal calibration."""
    content = hashlib.sha256()
    for prompt in prompts:
        content.update(prompt.tokens.tobytes() + prompt.positions.tobytes())
        for group in prompt.groups:
            content.update(str(group.shape).encode() + group.tobytes())
    return content.hexdigest()


def _kind(path: Path) -> str | None:
    kind = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    return kind if kind in ("video", "image") and path.is_file() else None


def _in_turn(readers: Sequence[Iterator[CalibrationExample]]) -> Iterator[CalibrationExample]:
    """One window of each file, then the second of each, and so on."""
    while readers:
        alive = []
        for reader in readers:
            window = next(reader, None)
            if window is not None:
                alive.append(reader)
                yield window
        readers = alive


def _windows(path: Path, limits: Limits, max_pixels: int) -> Generator[CalibrationExample]:
    """A file's windows of 1 to LONGEST groups, one after the other; a file that cannot be read has none."""
    caption_file = path.with_suffix(".txt")
    caption = caption_file.read_text().strip() if caption_file.is_file() else ""
    try:
        if _kind(path) == "image":
            visual = load_image({"image": str(path), "max_pixels": max_pixels}, limits)
            yield CalibrationExample("image", visual.groups, "Describe the picture.", caption)
        else:
            yield from _windows_of_clip(path, caption, partial(limits.frame_size, max_pixels=max_pixels))
    except (StreamError, PromptError):
        return


def _windows_of_clip(
    path: Path, caption: str, choose_size: Callable[[int, int], tuple[int, int]]
) -> Generator[CalibrationExample]:
    """Raises StreamError where the clip cannot be read any further."""
    window: list[FramePair] = []
    lengths = itertools.cycle((LONGEST, 1, 2, LONGEST - 1))
    length, number = next(lengths), 0
    with closing(FileSource(str(path))) as source:
        for group in groups(source, fps=FPS, choose_size=choose_size):
            window.append(group.pixels)
            if len(window) == length:
                yield CalibrationExample("video", tuple(window), QUESTIONS[number % len(QUESTIONS)], caption)
                window, length, number = [], next(lengths), number + 1
