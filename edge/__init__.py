"""Qwen2-VL on your own small machine, watching live video.

Three lines to a live answer:

    import edge
    for event in edge.watch("rtsp://10.0.0.7/live", model="Qwen/Qwen2-VL-2B-Instruct", ask=["Is the door open?"]):
        print(event.time, event.age, event.answer, event.p_yes)

    edge.watch          cameras, files or your own frames, watched in the background; events and questions
    edge.PushSource     the source for frames that you have already
    edge.load           a model that answers messages with pictures and videos: model.chat([...])
    edge.Sampling       how an answer's words are chosen
    edge.random_model   a model of the true shape that has nothing to say, for measuring

Errors are edge.errors.EdgeError and stream.errors.StreamError: each says what was found and what to do, and has a
stable `code`. Times are seconds, boxes fractions of the picture's sides. Importing this loads no torch and no model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge import threads

if TYPE_CHECKING:
    from os import PathLike

    from edge.api import Model
    from edge.engine.sampling import Sampling
    from edge.live import Watch
    from stream.event import Event
    from stream.sinks import Sink
    from stream.sources import Source
    from stream.sources.push import PushSource
    from stream.tasks import Task

__all__ = ["Event", "Model", "PushSource", "Sampling", "Watch", "load", "random_model", "watch"]

_LATER = {
    "Event": "stream.event",
    "Model": "edge.api",
    "PushSource": "stream.sources.push",
    "Sampling": "edge.engine.sampling",
    "Watch": "edge.live",
}


def __getattr__(name: str) -> Any:
    """The classes, imported once they are wanted: some of them take a while."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'edge' has no attribute {name!r}")


def watch(
    source: str | PathLike[str] | Source | Sequence[str | PathLike[str] | Source] | Mapping[str, Any],
    *,
    model: str | Model | None = None,
    describe: str | None = None,
    ask: str | Sequence[str] | None = None,
    ground: str | Sequence[str] | None = None,
    tasks: Sequence[Task | str] = (),
    fps: float = 2.0,
    seconds: float | None = None,
    window: int | None = None,
    every: float = 0.0,
    max_age: float | None = None,
    crop: str | Sequence[float] | None = None,
    max_pixels: int = 200_704,
    changes: bool = False,
    fixed_fps: bool = False,
    duration: float | None = None,
    on_event: Callable[[Event], object] | None = None,
    sinks: Sequence[Sink | str] = (),
    device: str = "auto",
    dtype: str = "auto",
    runner: str = "pytorch",
) -> Watch:
    """Watches a camera, a file or your own frames; iterate it for events, or give `on_event` and go on.

    Args:
        source: what `edge watch` takes ("rtsp://...", "camera:0", "clip.mp4", "your.package:YourSource"), an
            `edge.PushSource` or another Source; several as a list, or as a dict of names.
        model: a name as for `edge.load`, or a loaded model. None: pocket, which knows drawn shapes only, and says so.
        describe: what to ask for as a description. With no question at all, a description is what is made.
        ask: questions of yes or no; an event has `answer` and the probability `p_yes`.
        ground: labels to draw boxes around; an event has `boxes`, in fractions of the newest frame.
        tasks: of your own: objects, or "your.package:YourTask".
        fps: frames looked at per second of video; two are a group. Where the engine is slower than a live camera they
            are taken further apart (`fixed_fps`: whole groups are dropped instead).
        seconds: how far every answer looks back, at least; or `window`, in groups at most (8 by default).
        every: seconds of video between answers; 0: as often as possible.
        max_age: seconds; an answer that is older when it comes has `stale`, and better moves no robot.
        crop: the part that is looked at, "x,y,width,height" or four numbers, in pixels or fractions.
        max_pixels: of a frame, at most, for the model.
        changes: only answers that differ from the last one.
        duration: seconds, of the wall for a live source, of video for a file.
        on_event: called with each event, on a thread of its own that holds nothing up; a failing one is logged and
            counted. Without it, iterate.
        sinks: where else events go, with the picture as it came, (height, width, 3) uint8: objects with
            `publish(event, picture)` and `close()`, such as those of `stream.sinks`; or "your.package:YourSink".
        device, dtype, runner: as for `edge.load`, where `model` is a name.

    Raises ValueError for what means nothing, BadArgument for a wrong type, NotTaught, ModelError, and StreamError for a
    source that cannot be opened; while iterating, whatever ended the watching.

    >>> import edge
    >>> with edge.watch("synthetic://?seed=1&seconds=2", ask="Is there a red circle?", device="cpu") as watching:
    ...     answers = [(event.end, event.answer in ("yes", "no")) for event in watching]
    >>> answers
    [(0.5, True), (1.5, True)]
    >>> watching.summary.received == watching.summary.analysed + sum(watching.summary.dropped.values())
    True

    Your own frames, and a question while they are watched:

    >>> camera = edge.PushSource("gripper")
    >>> seen = []
    >>> watching = edge.watch(camera, model="pocket", describe="What is moving?", on_event=seen.append, device="cpu")
    >>> import numpy as np
    >>> for moment in (0.0, 0.5, 1.0, 1.5):
    ...     camera.push(np.zeros((112, 112, 3), np.uint8), captured=moment)
    >>> camera.close()
    >>> [(summary.analysed, summary.events == len(seen)) for summary in watching.wait()]
    [(4, True)]
    """
    from edge.commands.live import start

    def loaded(name: str) -> Model:
        return load(name, device=device, dtype=dtype, runner=runner)

    return start(
        source, model,
        describe=describe, ask=ask, ground=ground, tasks=tasks,
        seconds=seconds, window=window, crop=crop, on_event=on_event, sinks=sinks, load=loaded,
        fps=fps, every=every, max_age=max_age, max_pixels=max_pixels, only_changes=changes,
        fixed_fps=fixed_fps, duration=duration,
    )  # fmt: skip


def load(model: str | None = None, *, device: str = "auto", dtype: str = "auto", runner: str = "pytorch") -> Model:
    """The model of a folder or of a hub repository, ready to answer; or "pocket", or of "random:2b".

    None is pocket, too, which knows drawn shapes only, and a warning says so. `device` is "auto", "cpu" or "cuda";
    `dtype` "auto" (as the checkpoint says), "float32", "bfloat16" or "float16"; `runner` a name in
    `edge.runners.RUNNERS` or "package.module:Class". Raises BadArgument, ModelNotFound, ModelUnreadable,
    WrongArchitecture, DeviceUnusable.

    >>> import edge
    >>> edge.load("pocket", device="cpu").name
    'pocket'
    """
    from edge.api import Model
    from edge.arguments import require

    require("model", model, (str, type(None)), 'Give a name such as "Qwen/Qwen2-VL-2B-Instruct", or a folder as text.')
    if model is None:
        from edge.pocket.knows import CAUTION

        warnings.warn(CAUTION, stacklevel=2)
    threads.configure()
    from edge.loading import load_engine  # torch is imported when a model is wanted, not before

    return Model(load_engine(model or "pocket", device=device, dtype=dtype, runner=runner))


def random_model(
    shape: str = "2b",
    *,
    variant: str = "bfloat16",
    device: str = "auto",
    dtype: str = "auto",
    runner: str = "pytorch",
    seed: int = 0,
) -> Model:
    """A model of the published shape "2b" or "7b" (or "pocket") with random weights, made on the device in seconds:
    as fast and as large as the real one, and with nothing to say.

    `variant` is "bfloat16", "float16", "float32", "int4", "int8", or spelled out like "int4-g32".
    Raises ModelNotFound, BadVariant, DeviceUnusable.

    >>> import edge
    >>> edge.random_model("pocket", variant="float32", device="cpu").name
    'random:pocket'
    """
    from edge.api import Model

    threads.configure()
    from edge.loading import random_engine

    return Model(random_engine(shape, variant, device=device, dtype=dtype, runner=runner, seed=seed))
