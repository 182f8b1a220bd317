"""From the arguments of `edge.watch` to sessions that are watched."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from edge.api import Model
from edge.arguments import check_shape, number, require, texts
from edge.commands.sources import SOURCE_NEEDS, open_word
from edge.commands.watch import SINK_NEEDS, TASK_NEEDS, WatchOptions, choose_window, make_session, make_tasks
from edge.engine.engine import Engine
from edge.errors import BadArgument
from edge.live import LIVE_ROOM, Callback, Watch
from edge.pocket.knows import CAUTION, DRAWN, check_questions
from stream.crop import WHOLE, Crop
from stream.event import Event
from stream.naming import name_cameras
from stream.registry import make
from stream.sinks import SINKS, Sink
from stream.sinks.inbox import Inbox
from stream.sinks.shared import share
from stream.sources import Source
from stream.tasks import Task

A_SOURCE = 'Give an address or a path such as "rtsp://10.0.0.7/live", an edge.PushSource, or a list or dict of these.'
SWITCHES = ("only_changes", "fixed_fps")
SOME_TEXT = "Give a text, or a list of texts."

OneSource = str | PathLike[str] | Source


def start(
    source: OneSource | Sequence[OneSource] | Mapping[str, OneSource],
    model: str | Model | None,
    *,
    describe: str | None,
    ask: str | Sequence[str] | None,
    ground: str | Sequence[str] | None,
    tasks: Sequence[Task | str],
    seconds: float | None,
    window: int | None,
    crop: str | Sequence[float] | None,
    on_event: Callable[[Event], object] | None,
    sinks: Sequence[Sink | str],
    load: Callable[[str], Model],
    **options: Any,  # the other fields of WatchOptions
) -> Watch:
    """See `edge.watch`."""
    named = _named(source)
    questions, labels = texts("ask", ask, SOME_TEXT), texts("ground", ground, SOME_TEXT)
    for name, value in {"seconds": seconds, "window": window, **options}.items():
        if name not in SWITCHES:
            number(name, value)
    require("describe", describe, (str, type(None)), "Give what to ask for, as a text.")
    made = [_tasks(describe, labels, questions, tasks) for _ in named]
    chosen = WatchOptions(window=choose_window(window, seconds, options["fps"]), crop=_crop(crop), **options)
    own = [make(sink, SINKS, SINK_NEEDS) if isinstance(sink, str) else sink for sink in sinks]
    for sink in own:
        check_shape("a sink", sink, SINK_NEEDS, "Give an object with these, or an import path.")
    if on_event is not None and not callable(on_event):
        require("on_event", on_event, (), "Give a function that takes an event.")
    engine = _engine(model, named, [*questions, *labels], load)
    sources = [_opened(each, patient=len(named) > 1) for each in named.values()]
    inbox = Inbox(LIVE_ROOM if any(each.live for each in sources) else None) if on_event is None else None
    heard = [*own, *([inbox] if inbox else []), *([Callback(on_event)] if on_event else [])]
    handles = zip(*(share(sink, len(sources)) for sink in heard), strict=True)
    sessions = [
        make_session(each, engine, asked, list(mine), chosen, name=name)
        for (name, each, asked, mine) in zip(_names(named, sources), sources, made, handles, strict=True)
    ]
    return Watch(sessions, inbox)


def _named(source: object) -> dict[str | None, OneSource]:
    """By name; None: it is called what its source is called."""
    if isinstance(source, Mapping):
        if not source:
            raise BadArgument(f"source is an empty dict. {A_SOURCE}")
        for name, each in source.items():
            require("the name of a source", name, str, "Give a text, such as front.")
            _check_source(each)
        return dict(source)
    if not isinstance(source, (list, tuple)):
        _check_source(source)
        return {None: source}  # type: ignore[dict-item]  # checked
    if not source:
        raise BadArgument(f"source is an empty list. {A_SOURCE}")
    for each in source:
        _check_source(each)
    words = name_cameras([each if isinstance(each, str) else _name_of(each) for each in source])
    return {
        word.shown: word.address if isinstance(each, str) else each for word, each in zip(words, source, strict=True)
    }


def _check_source(source: object) -> None:
    if not isinstance(source, (str, PathLike)):
        require("source", source, object if all(hasattr(source, need) for need in SOURCE_NEEDS) else (), A_SOURCE)


def _name_of(source: OneSource) -> str:
    return fspath(source) if isinstance(source, PathLike) else str(getattr(source, "name", source))


def _names(named: Mapping[str | None, OneSource], sources: Sequence[Source]) -> list[str]:
    return [name or source.name for name, source in zip(named, sources, strict=True)]


def _opened(source: OneSource, patient: bool) -> Source:
    if not isinstance(source, (str, PathLike)):
        return source
    return open_word(fspath(source), patient=patient)


def _tasks(describe: str | None, labels: list[str], questions: list[str], others: Sequence[Task | str]) -> list[Task]:
    """The tasks that words make, then those that are tasks already."""
    words = [task for task in others if isinstance(task, str)]
    own = [task for task in others if not isinstance(task, str)]
    for task in own:
        check_shape("a task", task, TASK_NEEDS, "Give a Task, or an import path.")
    if own and not (describe or labels or questions or words):
        return own
    return [*make_tasks(describe, ",".join(labels) if labels else None, questions, words), *own]


def _crop(crop: str | Sequence[float] | None) -> Crop:
    if crop is None:
        return WHOLE
    return Crop.parse(crop if isinstance(crop, str) else ",".join(map(str, crop)))


def _engine(
    model: str | Model | None,
    named: Mapping[str | None, OneSource],
    questions: Sequence[str],
    load: Callable[[str], Model],
) -> Engine:
    if isinstance(model, Model):
        return model.engine
    require(
        "model", model, (str, type(None)), 'Give a name such as "Qwen/Qwen2-VL-2B-Instruct", or what edge.load gives.'
    )
    if model is None:
        strangers = [name for name in map(_name_of, named.values()) if not name.strip().lower().startswith(DRAWN)]
        for name in strangers:
            check_questions(questions, name)
        if strangers:
            warnings.warn(CAUTION, stacklevel=4)
    return load(model or "pocket").engine
