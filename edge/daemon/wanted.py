"""A camera as it is asked for, from words to what opens it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.commands.sources import IMPORTED, open_word, scheme_of
from edge.commands.watch import WatchOptions, choose_window, make_tasks
from edge.daemon.pushed import ADDRESS as PUSHED
from edge.daemon.pushed import PushedCamera
from edge.errors import AccessDenied
from stream.sinks import Sink
from stream.sources import Source
from stream.sources.redaction import redact
from stream.tasks import Task

FROM_AFAR = frozenset({"rtsp", "rtsps", "http", "https", "synthetic"})
"""What may be watched for whoever reaches the daemon: no file, no device and no program of this machine."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made anew each time the camera is tried."""

    address: str  # without credentials, for people
    open_source: Callable[[], Source]
    make_tasks: Callable[[], Sequence[Task]]
    options: WatchOptions = field(default_factory=WatchOptions)
    make_sinks: Callable[[], Sequence[Sink]] = tuple
    pushed: PushedCamera | None = None  # where its frames are brought


def wanted(
    source: str,
    *,
    describe: str | None = None,
    ask: Sequence[str] = (),
    ground: Sequence[str] = (),
    fps: float = 2.0,
    seconds: float | None = None,
    every: float = 0.0,
    max_age: float | None = None,
    is_trusted: bool = True,
) -> Wanted:
    """
    Args:
        is_trusted: whether it was asked for at this machine, where whoever types may open what they like anyway.

    Raises ValueError for what means nothing, StreamError for an address that is none, AccessDenied.
    """
    pushed = PushedCamera() if source == PUSHED else None
    scheme = PUSHED if pushed is not None else scheme_of(source)
    if not is_trusted and scheme not in (*FROM_AFAR, PUSHED):
        raise AccessDenied(
            f"{redact(source)}: from afar only cameras on the network can be added ({', '.join(sorted(FROM_AFAR))}). "
            "Name this one where the daemon is started."
        )

    def open_source() -> Source:
        if pushed is not None:
            return pushed.open()
        return open_word(source) if scheme == IMPORTED else open_word(source, patient=True)

    def tasks() -> list[Task]:
        return make_tasks(describe, ",".join(ground) or None, ask)

    tasks()  # refuses what is no question before anything is opened
    options = WatchOptions(fps=fps, window=choose_window(None, seconds, fps), every=every, max_age=max_age)
    return Wanted(redact(source), open_source, tasks, options, pushed=pushed)
