"""Drawn scenes as examples: their true answers are known. For calibration, and others that are held out for judging."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from edge.examples.example import FPS, Example
from edge.media.limits import DEFAULT_MAX_PIXELS, Limits
from edge.pocket.lessons import Lesson, Truth, lessons, observe
from stream.clip import write_clip
from stream.frame import Group
from stream.resize import resize
from stream.sampler import groups
from stream.sources.file import FileSource
from stream.sources.scene import Scene

SHOWN_GROUPS = 4  # at most, of a scene that calibration shows
SHOWN_SIZES = ((336, 448), (336, 336), (252, 448))  # (height, width)
FIRST_SHOWN = 500_000_000  # seeds: what is held out lies far below, what was trained on above

FIRST_HELD_OUT = 10_000  # pocket's own evaluation draws from 0 on
HELD_OUT_SIZES = ((448, 336), (336, 336), (640, 360), (448, 300))  # (width, height): 4:3, square, 16:9, in between
HELD_OUT_GROUPS = (1, 1, 2, 2, 3, 4, 6, 8)
QUESTIONS = 8  # about each scene that is held out


def shown_scenes(count: int, seed: int, limits: Limits, max_pixels: int) -> Iterator[Example]:
    """Rendered scenes with questions of every kind and their true answers."""
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        height, width = SHOWN_SIZES[rng.integers(len(SHOWN_SIZES))]
        num_groups = int(rng.integers(1, SHOWN_GROUPS + 1))
        scene = Scene(FIRST_SHOWN + int(rng.integers(FIRST_SHOWN)), width, height, duration=30.0)
        times = rng.uniform(0, 20) + np.arange(2 * num_groups) / FPS
        size = limits.frame_size(height, width, max_pixels=max_pixels)
        frames = np.stack([resize(scene.render(float(t), height, width), size) for t in times])
        asked = lessons(observe(scene, times.tolist()), rng, 8)
        lesson = asked[index % len(asked)]  # descriptions, boxes, yes and no, counts: in turn
        pairs = frames.reshape(num_groups, 2, *frames.shape[1:])
        yield Example.of("video", pairs, lesson.question, lesson.answer, f"drawn scene {index}")


def held_out_scenes(count: int, limits: Limits) -> Iterator[Example]:
    """So many questions about scenes that no model was trained on, QUESTIONS to a scene."""
    for seed in range(FIRST_HELD_OUT, FIRST_HELD_OUT + -(-count // QUESTIONS)):
        window, _, asked = held_out_scene(seed, limits)
        left = count - QUESTIONS * (seed - FIRST_HELD_OUT)
        yield from (about(window, lesson, f"drawn scene {seed}") for lesson in asked[:left])


def held_out_scene(seed: int, limits: Limits) -> tuple[list[Group], Truth, list[Lesson]]:
    """A window of a scene, its truth, and QUESTIONS about it."""
    rng = np.random.default_rng(seed)
    window, truth = film(seed, rng, limits)
    return window, truth, lessons(truth, rng, QUESTIONS)


def about(window: list[Group], lesson: Lesson, where: str = "") -> Example:
    return Example.of("video", [group.pixels for group in window], lesson.question, lesson.answer, where)


def film(seed: int, rng: np.random.Generator, limits: Limits) -> tuple[list[Group], Truth]:
    """A window of a scene the way of a real clip, and its truth: H.264 at 25 fps in a file, decoded, sampled and
    resized by the product's own source and sampler."""
    count = HELD_OUT_GROUPS[rng.integers(len(HELD_OUT_GROUPS))]
    width, height = HELD_OUT_SIZES[rng.integers(len(HELD_OUT_SIZES))]
    times = np.arange(2 * count) / FPS
    first, scene = _clear_moment(seed, rng, width, height, times)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.mp4"
        frames = (scene.render(first + t, height, width) for t in np.arange(0, times[-1] + 0.2, 0.04))
        write_clip(path, frames, fps=25)
        choose_size = partial(limits.frame_size, max_pixels=DEFAULT_MAX_PIXELS)
        window = list(groups(FileSource(str(path)), fps=FPS, choose_size=choose_size))[:count]
    return window, observe(scene, (first + times).tolist())


def _clear_moment(
    seed: int, rng: np.random.Generator, width: int, height: int, times: np.ndarray
) -> tuple[float, Scene]:
    """A scene and a start at which the window's first and last moment are not half hidden."""
    scene = Scene(seed, width, height, duration=30.0)
    for _ in range(1000):
        first = float(rng.uniform(0, 30.0 - times[-1] - 0.5))
        if scene.is_clear(first) and scene.is_clear(first + times[-1]):
            return first, scene
    return _clear_moment(seed + 10**6, rng, width, height, times)
