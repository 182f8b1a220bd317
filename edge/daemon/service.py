"""The cameras that a daemon watches, by name, and the thread that owns the engine.

A camera that fails is tried again, later and later; the others never notice. Conversations go on between the cameras'
steps: the engine takes one pass at a time, whoever asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge.api import Model
from edge.commands.watch import make_session
from edge.daemon.hub import Hub
from edge.daemon.pictures import Judged
from edge.daemon.store import EventStore, Stored
from edge.daemon.wanted import Wanted
from edge.errors import NameTaken, NoSuchStream
from stream.event import Event
from stream.scheduler import Scheduler
from stream.session import Session
from stream.sinks import Sink
from stream.summary import Summary
from stream.tasks import Task

log = logging.getLogger(__name__)

RETRIES = (2.0, 5.0, 15.0, 60.0)  # seconds before a camera that failed is tried again; the last one for ever
FRESH = 60.0  # seconds; an answer older than that says that a camera is not watched as it should be


@dataclass(eq=False)
class Stream:
    """A camera as it is: watched, or waiting to be tried again."""

    name: str
    wanted: Wanted
    judged: Judged = field(init=False)  # this session's
    session: Session | None = None
    failures: int = 0  # one after the other
    error: str = ""  # what ended it last
    retry: threading.Timer | None = None
    since: float = 0.0  # on the monotonic clock: the session's beginning
    is_paused: bool = False  # nobody looks, and nobody tries


class Service:
    """Starts at once. Its methods are for any thread."""

    def __init__(self, model: Model, *, store: EventStore | None = None, retries: Sequence[float] = RETRIES) -> None:
        """`store` keeps all events, and is closed by whoever made it."""
        self.model, self.store = model, store
        self.hub = Hub()
        self.defect: BaseException | None = None  # what ended the engine's thread
        self._retries = retries
        self._lock = threading.RLock()
        self._streams: dict[str, Stream] = {}
        self._is_over = False
        self.turned = threading.Event()  # by the engine's thread, since `advances` was asked
        self._scheduler = Scheduler(on_end=self._ended, on_turn=self.turned.set)
        self._thread = threading.Thread(target=self._run, name="edge.engine", daemon=True)
        self._thread.start()

    # Cameras

    def add(self, name: str, wanted: Wanted) -> None:
        """Watches it from now on. Raises NameTaken, and what opening the source raises for what can never work."""
        with self._lock:
            if name in self._streams:
                raise NameTaken(f"a stream is called {name!r} already. Remove it first, or choose another name.")
            stream = Stream(name, wanted)
            self._begin(stream)
            self._streams[name] = stream

    def remove(self, name: str) -> None:
        """Raises NoSuchStream."""
        with self._lock:
            stream = self._find(name)
            del self._streams[name]
            if stream.retry is not None:
                stream.retry.cancel()
            session = stream.session
        if session is not None:
            self._scheduler.remove(session)

    def change(self, name: str, wanted: Wanted) -> None:
        """Watches it anew, in this way. Raises NoSuchStream, and what `add` raises: then it is watched as before."""
        with self._lock:
            before = self._find(name).wanted
        self.remove(name)
        try:
            self.add(name, wanted)
        except Exception:
            self.add(name, before)
            raise

    def pause(self, name: str) -> None:
        """The camera is told goodbye, and keeps its name. Idempotent; raises NoSuchStream."""
        with self._lock:
            stream = self._find(name)
            stream.is_paused, stream.error = True, "it is paused."
            if stream.retry is not None:
                stream.retry.cancel()
            session, stream.session = stream.session, None
        if session is not None:
            self._scheduler.remove(session)

    def resume(self, name: str) -> None:
        """Watches it again. Idempotent; raises NoSuchStream, and what opening the source raises."""
        with self._lock:
            stream = self._find(name)
            if not stream.is_paused:
                return
            self._begin(stream)
            stream.is_paused, stream.failures, stream.error = False, 0, ""

    def ask(self, name: str, question: str | Task) -> Future[Event]:
        """About what the camera shows now, between two steps. Raises NoSuchStream; the future fails as a session's."""
        with self._lock:
            stream = self._find(name)
            session = stream.session
        if session is None:
            ends = "Resume it first." if stream.is_paused else "It is tried again."
            raise NoSuchStream(f"{name} is not watched at the moment: {stream.error} {ends}")
        return session.ask(question)

    def push(self, name: str, encoded: bytes) -> None:
        """A frame of a camera that was added as `push:`. Raises NoSuchStream, and what PushedCamera.push raises."""
        with self._lock:
            camera = self._find(name).wanted.pushed
        if camera is None:
            raise NoSuchStream(f"{name} opens its camera itself. Add a stream whose source is push: to bring frames.")
        camera.push(encoded)

    def judged(self, name: str) -> Judged:
        """Raises NoSuchStream."""
        with self._lock:
            return self._find(name).judged

    def names(self) -> list[str]:
        with self._lock:
            return list(self._streams)

    def status(self, name: str) -> dict[str, Any]:
        """Raises NoSuchStream."""
        with self._lock:
            stream = self._find(name)
            summary = stream.session.summary() if stream.session is not None else None
        newest = self.hub.newest(name)
        said: dict[str, Any] = {
            "name": name, "source": stream.wanted.address,
            "state": "paused" if stream.is_paused else "waiting" if summary is None else "watching",
            "error": stream.error or (summary.error if summary is not None else None),
            "failures": stream.failures,
            "answer_age": None if newest is None else round(self._age(newest), 3),
            "newest": None if newest is None else newest.to_dict(),
        }  # fmt: skip
        return said | {"counts": None if summary is None else _counts(summary)}

    def is_fresh(self, name: str) -> bool:
        """Whether its answers advance, or it has only begun, or nobody wants any."""
        with self._lock:
            stream = self._find(name)
            if stream.is_paused:
                return True
        newest = self.hub.newest(name)
        if newest is None:
            return stream.session is not None and time.monotonic() - stream.since < FRESH
        return self._age(newest) < FRESH

    @property
    def is_alive(self) -> bool:
        """Whether the engine's thread is there."""
        return self._thread.is_alive() and self.defect is None

    def advances(self) -> bool:
        """Whether the engine's thread has taken a turn since this was asked last; it is woken to take the next one."""
        has_turned = self.turned.is_set()
        self.turned.clear()
        self._scheduler.wake()
        return has_turned and self.is_alive

    def end_listeners(self) -> None:
        """Who follows events or pictures comes to an end; for signal handlers, too."""
        self.hub.end()
        for stream in list(self._streams.values()):
            stream.judged.close()

    def close(self) -> None:
        """Every camera is told goodbye: seconds, at worst. Idempotent."""
        with self._lock:
            self._is_over = True
            for stream in self._streams.values():
                if stream.retry is not None:
                    stream.retry.cancel()
        self._scheduler.stop()
        self.end_listeners()
        self._thread.join()

    # Within

    def _begin(self, stream: Stream) -> None:
        stream.judged = Judged(len(stream.wanted.make_tasks()))
        source = stream.wanted.open_source()
        kept = [] if self.store is None else [Stored(self.store)]
        sinks: list[Sink] = [*kept, self.hub, stream.judged, *stream.wanted.make_sinks()]
        session = make_session(
            source, self.model.engine, stream.wanted.make_tasks(), sinks, stream.wanted.options, name=stream.name
        )
        stream.session, stream.since = session, time.monotonic()
        self._scheduler.add(session)

    def _ended(self, session: Session) -> None:
        """In the engine's thread: a camera that was not removed is tried again."""
        with self._lock:
            stream = self._streams.get(session.name)
            if self._is_over or stream is None or stream.session is not session:
                return
            summary = session.summary()
            stream.failures = 1 if summary.events else stream.failures + 1
            stream.error = str(session.error or f"ended: {summary.ended}.")
            stream.session = None
            self._retry_later(stream)

    def _retry_later(self, stream: Stream) -> None:
        seconds = self._retries[min(stream.failures, len(self._retries)) - 1]
        log.warning("%s is tried again in %g s: %s", stream.name, seconds, stream.error)
        stream.retry = threading.Timer(seconds, self._retry, [stream])
        stream.retry.daemon = True
        stream.retry.start()

    def _retry(self, stream: Stream) -> None:
        with self._lock:
            if self._is_over or stream.is_paused or self._streams.get(stream.name) is not stream:
                return
            if not self.is_alive:  # nobody would watch it; `/healthz` says so
                return
            try:
                self._begin(stream)
            except Exception as error:
                stream.failures, stream.error = stream.failures + 1, str(error)
                self._retry_later(stream)

    def _run(self) -> None:
        try:
            self._scheduler.run(forever=True)
        except BaseException as error:
            self.defect = error
            log.exception("the engine's thread has ended")

    def _find(self, name: str) -> Stream:
        if name not in self._streams:
            there = ", ".join(self._streams) or "none"
            raise NoSuchStream(f"no stream is called {name!r}. There are: {there}.")
        return self._streams[name]

    @staticmethod
    def _age(event: Event) -> float:
        """Seconds since the newest frame that it speaks of, by the wall."""
        return max(0.0, time.time() - _seconds(event.time))


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def _counts(summary: Summary) -> dict[str, Any]:
    known = summary.to_dict()
    return {name: value for name, value in known.items() if name not in ("stream", "error")}
