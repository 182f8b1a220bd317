"""From the options of `edge watch` to a session: tasks, sinks, and the size of frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge.engine.engine import Engine
from edge.engine.limits import Limits
from stream.resize import smart_resize
from stream.session import Session
from stream.sinks import Sink
from stream.sinks.jsonl import JsonlSink
from stream.sinks.overlay import OverlaySink
from stream.sinks.stdout import StdoutSink
from stream.sources import Source
from stream.tasks import Task
from stream.tasks.ask import Ask
from stream.tasks.describe import Describe
from stream.tasks.ground import ground_tasks

WATCH_PIXELS = 448 * 448  # per frame, unless told otherwise: 256 tokens for two frames


def frame_size(limits: Limits, max_pixels: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) for the model: as it likes videos, but of at most `max_pixels`."""
    most = min(limits.video.max_pixels, max_pixels)
    least = min(limits.video.min_pixels, most)
    return smart_resize(height, width, factor=limits.cell, min_pixels=least, max_pixels=most)


def make_tasks(describe: str | None, ground: str | None, ask: Sequence[str] | None) -> list[Task]:
    """What was asked for; a description when nothing was. Raises ValueError for an empty label or question."""
    tasks: list[Task] = [] if describe is None else [Describe(describe)]
    tasks += ground_tasks(ground) if ground is not None else []
    questions = list(ask or ())
    tasks += [
        Ask(q, name="ask" if len(questions) == 1 else f"ask:{n}") for n, q in enumerate(questions, start=1)
    ]
    return tasks or [Describe()]


def make_sinks(*, as_json: bool, out: Path | None, overlay: Path | None) -> list[Sink]:
    """The terminal always; files where they were asked for. Raises SinkUnwritable."""
    sinks: list[Sink] = [StdoutSink(json=as_json)]
    if out is not None:
        sinks.append(JsonlSink(out))
    if overlay is not None:
        sinks.append(OverlaySink(overlay))
    return sinks


def make_session(
    source: Source, engine: Engine, tasks: Sequence[Task], sinks: Sequence[Sink], *,
    fps: float, window: int, max_pixels: int, every: float = 0.0, duration: float | None = None,
) -> Session:  # fmt: skip
    """A session whose frames get the size the model likes, within `max_pixels`."""
    size = partial(frame_size, engine.limits, max_pixels)
    return Session(
        source, engine, tasks, sinks, fps=fps, window=window, choose_size=size, every=every, duration=duration
    )
