"""From the options of `edge watch` to a session: tasks, sinks, and the size of frames. Many of them: cameras.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.engine.engine import Engine
from edge.engine.sliding import groups_for
from edge.media.limits import DEFAULT_MAX_PIXELS
from stream.crop import WHOLE, Crop
from stream.pace import Pace
from stream.registry import find, make
from stream.session import Session, no_text
from stream.sinks import SINKS, Sink
from stream.sources import Source
from stream.tasks import TASKS, Task

DEFAULT_WINDOW = 8  # groups of two frames
TASK_NEEDS = ("name", "choices", "max_tokens", "prompt", "parse")
SINK_NEEDS = ("publish", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How much is looked at, and how often. Raises ValueError for what means nothing, before anything is opened."""

    fps: float = 2.0  # frames per second of video
    window: int = DEFAULT_WINDOW  # groups of two frames, at most
    max_pixels: int = DEFAULT_MAX_PIXELS  # of a frame, at most
    every: float = 0.0  # seconds of video between answers; 0: as often as the engine can
    duration: float | None = None  # seconds
    crop: Crop = WHOLE  # the part of the picture that is looked at
    fixed_fps: bool = False  # a live camera's, though the engine be slower: then whole groups are dropped
    only_changes: bool = False  # sinks hear only answers that differ from the last they heard
    max_age: float | None = None  # seconds; an answer that is older when it comes is marked as stale

    def __post_init__(self) -> None:
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps is {self.fps}: it must be above 0.")
        if self.window < 1:
            raise ValueError(f"window is {self.window}: a window holds at least one group.")
        for name, seconds in (("every", self.every), ("duration", self.duration), ("max_age", self.max_age)):
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} is {seconds} seconds: times are never negative.")


def choose_window(window: int | None, seconds: float | None, fps: float) -> int:
    """How many groups to remember, from the one or the other: `seconds` is how far every answer looks back, at least.

    Raises ValueError for both, and for a time that is none.
    """
    if seconds is None:
        return DEFAULT_WINDOW if window is None else window
    if window is not None:
        raise ValueError(f"window is {window} groups and seconds is {seconds:g}: both say how far back. Give one.")
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds is {seconds}: how far back answers look must be above 0.")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps is {fps}: it must be above 0.")
    return groups_for(seconds, fps)


def make_tasks(
    describe: str | None, ground: str | None, ask: Sequence[str] | None, others: Sequence[str] | None = None
) -> list[Task]:
    """What was asked for; a description when nothing was. `others` are names or import paths.

    Raises ValueError for an empty label or question, and for one of the others that is not to be had.
    """
    describes, grounds, asks = (find(name, TASKS) for name in ("describe", "ground", "ask"))
    tasks: list[Task] = [] if describe is None else [describes(describe)]
    tasks += [] if ground is None else [grounds(label) for label in ground.split(",")]
    questions = list(ask or ())
    tasks += [asks(q, name="ask" if len(questions) == 1 else f"ask:{n}") for n, q in enumerate(questions, start=1)]
    tasks += [make(name, TASKS, TASK_NEEDS) for name in others or ()]
    return tasks or [describes()]


def make_sinks(
    *,
    as_json: bool,
    out: Path | None,
    overlay: Path | None,
    snapshots: Path | None = None,
    others: Sequence[Sink] = (),
    tells_stream: bool = False,  # on the terminal: which of several
) -> list[Sink]:
    """The terminal always; files where they were asked for. Raises SinkUnwritable."""
    sinks: list[Sink] = [find("stdout", SINKS)(json=as_json, tells_stream=tells_stream)]
    for name, place in (("jsonl", out), ("overlay", overlay), ("snapshots", snapshots)):
        if place is not None:
            sinks.append(find(name, SINKS)(place))
    return [*sinks, *others]


def make_other_sinks(names: Sequence[str] | None) -> list[Sink]:
    """By their names or import paths. Raises ValueError for one that is not to be had."""
    return [make(name, SINKS, SINK_NEEDS) for name in names or ()]


def make_session(
    source: Source,
    engine: Engine,
    tasks: Sequence[Task],
    sinks: Sequence[Sink],
    options: WatchOptions,
    on_text: Callable[[Task, str], None] = no_text,
    name: str | None = None,  # of the stream in its events; None: what the source is called
) -> Session:
    """A session whose frames get the size the model likes. Raises ValueError for options that mean nothing."""
    return Session(
        source,
        engine,
        tasks,
        sinks,
        fps=options.fps,
        window=options.window,
        choose_size=partial(engine.limits.frame_size, max_pixels=options.max_pixels),
        every=options.every,
        name=name,
        duration=options.duration,
        on_text=on_text,
        crop=options.crop,
        pace=None if options.fixed_fps else Pace(options.fps),
        only_changes=options.only_changes,
        max_age=options.max_age,
    )
