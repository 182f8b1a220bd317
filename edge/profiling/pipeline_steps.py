"""Runs every step from a video file to a published answer, one after the other, and times each.

A drawn clip (or the user's own) is decoded, sampled, encoded and asked about with the parts of a session, in one
thread: what each step takes by itself. Knows no device.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edge.engine.engine import Engine
from edge.engine.prompt import stream_suffix
from edge.engine.tokenizer import Tokenizer
from edge.media.limits import DEFAULT_MAX_PIXELS
from edge.models.costs import Costs
from edge.models.family import PromptLayout, Tokens
from edge.profiling.spans import Spans
from edge.profiling.timed import TimedRunner
from stream.asking import Context
from stream.clip import write_clip
from stream.errors import StreamError
from stream.event import Event
from stream.frame import Group
from stream.sampler import FrameSampler
from stream.sinks import Sink
from stream.sinks.jsonl import JsonlSink
from stream.sources.file import FileSource
from stream.sources.scene import Scene
from stream.tasks.describe import Describe

DECODE, SAMPLE, PARSE, PUBLISH = "decode", "sample and resize", "parse", "publish"
FIRST_TOKEN, AGE = "time to first token", "capture to event"
WIDTH, HEIGHT, CAMERA_FPS = 640, 480, 25  # of the drawn clip


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSettings:
    """What is measured. Raises ValueError for a rate that means nothing."""

    window: int = 8  # groups of two frames; as many are seen
    fps: float = 2.0
    max_pixels: int = DEFAULT_MAX_PIXELS
    question_tokens: int = 32  # with what the chat template puts around it
    answer_tokens: int = 64
    clip: Path | None = None  # a drawn scene without one
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.fps > 0 or (self.clip is None and self.fps > CAMERA_FPS):
            raise ValueError(f"fps is {self.fps}: it must be above 0, and at most {CAMERA_FPS} for the drawn clip.")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "clip": "drawn scene" if self.clip is None else str(self.clip)}


def measure_steps(
    engine: Engine, costs: Costs, spans: Spans, settings: ProfileSettings, folder: Path
) -> tuple[int, int]:
    """Fills `spans`; gives the (height, width) at which frames were looked at. Leaves its files in `folder`.

    Raises what a source raises, and StreamError for a clip that is too short.
    """
    clip = settings.clip or _draw(folder / "scene.mp4", settings)
    runner = TimedRunner(engine.runner, costs, spans, scripted_answer(engine.tokenizer, settings.answer_tokens))
    timed = Engine(runner, engine.tokenizer, engine.name, engine.limits, drafts=False)
    layout = engine.runner.facts.family.layout
    question = padded_question(engine.tokenizer, layout, settings.question_tokens)
    task = Describe(question, max_tokens=settings.answer_tokens)
    size = (0, 0)
    for num_groups in (1, settings.window):  # the first group is for warming up
        spans.clear()
        context = timed.open(settings.window)
        with closing(JsonlSink(folder / "events.jsonl")) as sink:
            for group in islice(_groups(clip, engine, spans, settings), num_groups):
                size = group.pixels.shape[1], group.pixels.shape[2]
                _answer(context, group, task, sink, spans)
    if size == (0, 0):
        raise StreamError(f"{clip} gives no group of two frames. Choose a longer clip.")
    return size


def _groups(clip: Path, engine: Engine, spans: Spans, settings: ProfileSettings) -> Iterator[Group]:
    choose_size = partial(engine.limits.frame_size, max_pixels=settings.max_pixels)
    sampler = FrameSampler(settings.fps, choose_size=choose_size)
    with closing(FileSource(clip)) as source:
        frames = iter(source)
        while True:
            with spans.measure(DECODE):
                frame = next(frames, None)
            if frame is None:
                return
            with spans.measure(SAMPLE):
                groups = sampler.push(frame)
            yield from groups


def _answer(context: Context, group: Group, task: Describe, sink: Sink, spans: Spans) -> None:
    captured = spans.now()
    context.append(group)
    asked = spans.now()
    reply = context.answer(task.prompt(), max_tokens=task.max_tokens)
    text = ""
    spans.add(FIRST_TOKEN, asked, spans.now())
    for piece in reply:
        text += piece
    with spans.measure(PARSE):
        finding = task.parse(text, {})
    with spans.measure(PUBLISH):
        sink.publish(_event(group, finding.text, task), group.picture)
    spans.add(AGE, captured, spans.now())


def _event(group: Group, text: str, task: Describe) -> Event:
    return Event(
        stream="profile", task=task.name, seq=group.index, groups=(group.index, group.index), start=group.pts[0],
        end=group.pts[1], clock=group.clock, age=time.monotonic() - group.captured, text=text, finish="length",
        boxes=(), answer=None, p_yes=None, model="", variant="",
    )  # fmt: skip


def _draw(path: Path, settings: ProfileSettings) -> Path:
    seconds = 2 * (settings.window + 1) / settings.fps
    scene = Scene(settings.seed, WIDTH, HEIGHT, duration=seconds)
    times = np.arange(0, seconds, 1 / CAMERA_FPS)
    write_clip(path, (scene.render(t, HEIGHT, WIDTH) for t in times), CAMERA_FPS)
    return path


def padded_question(tokenizer: Tokenizer, layout: PromptLayout, num_tokens: int) -> str:
    """A question that takes so many tokens with its template, or as few as there can be."""
    words = "Describe the video."
    while len(stream_suffix(tokenizer, layout, f"{words} 1")) <= num_tokens:
        words += " 1"
    return words


def scripted_answer(tokenizer: Tokenizer, num_tokens: int) -> Tokens:
    """An answer of so many tokens that never repeats itself: a loop would end it."""
    text = ", ".join(f"a red circle at {7 * number} of {number * number}" for number in range(1, num_tokens + 2))
    return tokenizer.encode_plain(text)[:num_tokens]
