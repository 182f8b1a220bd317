"""Batches of lessons for training: pictures, packed questions, and what each place of a picture holds.

Every question of a scene sees the system prompt, the video and itself, never another question, exactly
as the engine asks them: earlier answers cannot give later ones away, and the video is read once.
A batch is a pure function of (seed, step), so that training can stop and go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from benchmarks.pocket.folder import TOKEN_ID
from edge.pocket.lessons import Lesson, Truth, lessons, observe, spoken_of
from stream.frame import Pixels
from stream.sources.scene import COLOURS, SHAPES, SIZES, Scene, Thing

CELL = 28
STEP = 64  # rows are padded to multiples of it: a library that builds a kernel for every shape meets few of them
IGNORE = -100
PARTS = ("describe", "change", "ground", "absent", "yesno", "count", "motion")
MOTIONS = ("still", "left", "right", "up", "down")
FIRST_TRAINING_SEED = 10**9  # evaluation draws its scenes from below

PREFIX = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
QUESTION = "<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the windows of one stage look like."""

    batch: int  # scenes with one group; longer windows come in smaller batches
    questions: int
    groups: tuple[tuple[int, float], ...]  # number of groups, probability
    sizes: tuple[tuple[tuple[int, int], float], ...]  # (height, width), probability


@dataclass(slots=True)
class Batch:
    frames: Tensor  # (scenes, groups, 2, height, width, 3) uint8
    tokens: Tensor  # (scenes, n)
    positions: Tensor  # (3, scenes, n)
    blocks: Tensor  # (scenes, n): 0 shared by all, 1.. one question each, -1 padding
    targets: Tensor  # (scenes, n): the token that follows, IGNORE where nothing is to be learned
    parts: Tensor  # (scenes, n): which part of PARTS a target belongs to
    things: Tensor  # (scenes, n): which things a target speaks of, bit i for the i-th; 0 for none
    owners: Tensor  # (scenes, cells): which thing is in each cell of the newest group, -1 for none
    cells: Tensor  # (scenes, groups, cells, 4): colour, shape, size, motion; -1 where nothing is
    boxes: Tensor  # (scenes, groups, cells, 4): x1, y1, x2, y2 from 0 to 1
    offsets: Tensor  # (scenes, groups, cells, 4): the same from the cell's middle, in cells


class Batches(torch.utils.data.IterableDataset[Batch]):
    """Endless batches from `step` on."""

    def __init__(self, tokenizer: str, plan: Plan, seed: int, step: int) -> None:
        self.tokenizer, self.plan, self.seed, self.step = tokenizer, plan, seed, step

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        tokenizer = Tokenizer.from_str(self.tokenizer)
        step = self.step
        while True:
            yield make_batch(tokenizer, self.plan, np.random.default_rng([self.seed, step]))
            step += 1


def make_batch(tokenizer: Tokenizer, plan: Plan, rng: np.random.Generator) -> Batch:
    groups = int(_choose(rng, plan.groups))
    height, width = _choose(rng, plan.sizes)
    scenes = max(4, round(plan.batch * 3 / (groups + 2)))
    windows = [draw_window(rng, groups, height, width) for _ in range(scenes)]
    rows = [
        _Row.pack(tokenizer, lessons(truths[-1], rng, plan.questions), truths[-1], groups, height, width)
        for _, truths in windows
    ]
    longest = STEP * math.ceil(max(len(row.tokens) for row in rows) / STEP)
    cells = [[_cells(truth.things, height, width) for truth in truths] for _, truths in windows]
    boxes = torch.from_numpy(np.stack([np.stack([where for _, where, _ in scene]) for scene in cells]))
    return Batch(
        frames=torch.from_numpy(np.stack([frames for frames, _ in windows])),
        tokens=_stack([row.tokens for row in rows], longest, TOKEN_ID["<|endoftext|>"]),
        positions=torch.stack([_stack([row.positions[axis] for row in rows], longest, 0) for axis in range(3)]),
        blocks=_stack([row.blocks for row in rows], longest, -1),
        targets=_stack([row.targets for row in rows], longest, IGNORE),
        parts=_stack([row.parts for row in rows], longest, 0),
        things=_stack([row.things for row in rows], longest, 0),
        owners=torch.from_numpy(np.stack([scene[-1][2] for scene in cells])),
        cells=torch.from_numpy(np.stack([np.stack([what for what, _, _ in scene]) for scene in cells])),
        boxes=boxes,
        offsets=boxes * torch.tensor([width, height] * 2) / CELL - _middles(height, width),
    )


def draw_window(
    rng: np.random.Generator, groups: int, height: int, width: int
) -> tuple[NDArray[np.uint8], list[Truth]]:
    """Frames (groups, 2, height, width, 3) of a clear moment and, for each group, the truth up to it."""
    while True:
        spacing = 0.5 if rng.random() < 0.6 else rng.uniform(0.33, 1.0)
        seed = int(rng.integers(FIRST_TRAINING_SEED, 2**62))
        stretch = rng.uniform(0.88, 1.12)
        first = rng.uniform(0, 4)
        times = first + spacing * np.arange(2 * groups, dtype=np.float64)
        scene = Scene(seed, width * stretch, height, duration=float(times[-1]) + 0.1)
        if scene.is_clear(times[-1]) and scene.is_clear(times[0]):
            break
    frames = _film(rng, scene, times, height, width)
    return frames.reshape(groups, 2, height, width, 3), [
        observe(scene, times[: 2 * group + 2].tolist()) for group in range(groups)
    ]


def _film(rng: np.random.Generator, scene: Scene, times: NDArray[np.float64], height: int, width: int) -> Pixels:
    """The frames as a camera would give them: sometimes scaled down, sometimes compressed."""
    scale = rng.choice([1.0, 1.0, 2.0, 1.5])
    quality = int(rng.integers(35, 96)) if rng.random() < 0.5 else None
    frames = []
    for t in times:
        frame = scene.render(float(t), round(height * scale), round(width * scale))
        if quality is not None:
            frame = _compress(frame, quality)
        if scale != 1.0:
            frame = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        frames.append(frame)
    return np.stack(frames)


def _compress(frame: Pixels, quality: int) -> Pixels:
    buffer = BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@dataclass(slots=True)
class _Row:
    """One scene's tokens: prefix, video, and each question with its answer as a block of its own."""

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]  # (3, n)
    blocks: NDArray[np.int64]
    targets: NDArray[np.int64]
    parts: NDArray[np.int64]
    things: NDArray[np.int64]

    @classmethod
    def pack(
        cls, tokenizer: Tokenizer, asked: list[Lesson], truth: Truth, groups: int, height: int, width: int
    ) -> _Row:
        rows, columns = height // CELL, width // CELL
        prefix = tokenizer.encode(PREFIX).ids
        video = [TOKEN_ID["<|video_pad|>"]] * (groups * rows * columns)
        start = len(prefix) + max(groups, rows, columns)
        tokens, blocks = [*prefix, *video], [0] * (len(prefix) + len(video))
        targets, parts, things = [IGNORE] * len(tokens), [0] * len(tokens), [0] * len(tokens)
        text_positions: list[int] = []
        for number, lesson in enumerate(asked, start=1):
            question = tokenizer.encode(QUESTION.format(lesson.question)).ids
            spoken = tokenizer.encode(lesson.answer)
            answer = [*spoken.ids, TOKEN_ID["<|im_end|>"]]
            block = [*question, *answer[:-1]]
            tokens += block
            blocks += [number] * len(block)
            targets += [IGNORE] * (len(question) - 1) + answer
            parts += [PARTS.index(lesson.part)] * len(block)
            things += [0] * (len(question) - 1) + _things(lesson, truth, spoken.offsets) + [0]
            text_positions += range(start, start + len(block))
        grid = np.stack([axis.ravel() for axis in np.indices((groups, rows, columns))]) + len(prefix)
        positions = np.concatenate(
            [np.tile(np.arange(len(prefix)), (3, 1)), grid, np.tile(text_positions, (3, 1))], axis=1
        )
        columns_of_row = (np.array(column) for column in (blocks, targets, parts, things))
        return cls(np.array(tokens), positions, *columns_of_row)


def _things(lesson: Lesson, truth: Truth, offsets: list[tuple[int, int]]) -> list[int]:
    """For each token of the answer, the things it speaks of as bits."""
    pieces = spoken_of(lesson, truth)
    out = []
    for start, _ in offsets:
        about = next(indices for end, indices in pieces if start < end)
        out.append(sum(1 << index for index in about))
    return out


def _cells(
    things: tuple[Thing, ...], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """For each cell of the picture: what the nearest thing that covers its middle is, where, and which (-1: none)."""
    rows, columns = height // CELL, width // CELL
    y, x = ((axis.ravel() + 0.5) for axis in np.indices((rows, columns)))
    x, y = x / columns, y / rows
    what = np.full((rows * columns, 4), -1, np.int64)
    where = np.zeros((rows * columns, 4), np.float32)
    which = np.full(rows * columns, -1, np.int64)
    nearest = np.full(rows * columns, np.inf)
    for index, thing in enumerate(things):
        box = thing.box
        middle_x, middle_y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
        distance = np.hypot((x - middle_x) * width, (y - middle_y) * height)
        covers = (box.x1 < x) & (x < box.x2) & (box.y1 < y) & (y < box.y2)
        holds = (abs(x - middle_x) <= 0.5 / columns) & (abs(y - middle_y) <= 0.5 / rows)
        mine = (covers | holds) & (distance < nearest)
        nearest[mine] = distance[mine]
        names = (list(COLOURS).index(thing.colour), SHAPES.index(thing.shape))
        what[mine] = (*names, list(SIZES).index(thing.size), MOTIONS.index(thing.motion))
        where[mine] = (box.x1, box.y1, box.x2, box.y2)
        which[mine] = index
    return what, where, which


def _middles(height: int, width: int) -> Tensor:
    """The middle of each cell as (cells, 4): x, y, x, y in cells."""
    y, x = (axis.ravel() + 0.5 for axis in np.indices((height // CELL, width // CELL)))
    return torch.from_numpy(np.stack([x, y, x, y], axis=-1)).float()


def _stack(rows: list[NDArray[np.int64]], length: int, fill: int) -> Tensor:
    out = torch.full((len(rows), length), fill, dtype=torch.long)
    for index, row in enumerate(rows):
        out[index, : len(row)] = torch.from_numpy(np.ascontiguousarray(row))
    return out


T = TypeVar("T")


def _choose(rng: np.random.Generator, options: tuple[tuple[T, float], ...]) -> T:
    weights = np.array([weight for _, weight in options])
    return options[rng.choice(len(options), p=weights / weights.sum())][0]
