"""A live source that comes back: connects again for ever, on one clock.

Knows connections only as sources that end or fail. Waiting, chance and time are parameters.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from stream.errors import AuthenticationFailed, ConnectionFailed, StreamError
from stream.frame import Frame
from stream.sources import Source
from stream.sources.connection import Progress

log = logging.getLogger(__name__)

State = Literal["connecting", "up", "waiting", "closed"]

ENDED = "STREAM_ENDED"  # the code of a live stream that ended without an error


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next attempt, in seconds."""

    first: float = 0.5
    longest: float = 10.0
    factor: float = 2.0
    jitter: float = 0.2  # share of the delay, up or down, so that many viewers do not come back as one

    def delay(self, failures: int, chance: float) -> float:
        """After so many failures in a row, 1 or more; `chance` is from 0 to 1."""
        steps = min(failures - 1, 60)  # beyond that floats overflow, and the longest was reached long ago
        delay: float = min(self.longest, self.first * self.factor**steps)
        return delay * (1 + self.jitter * (2 * chance - 1))


AFTER_REFUSED_LOGIN = Backoff(first=30.0, longest=300.0)  # cameras lock accounts that knock too often


@dataclass(frozen=True, slots=True)
class Status:
    """How a live source fares."""

    state: State
    error: str | None = None  # the latest one, redacted; None while all is well
    code: str | None = None  # its stable code
    retry_in: float | None = None  # seconds, while waiting


OnStatus = Callable[[Status], object]


def no_status(status: Status) -> None:
    """Nobody watches."""


class Reconnecting:
    """Gives the frames of one connection after the other; pts go on, with a jump as long as the outage.

    The first connection must bring a picture, or its error is raised: whoever just typed the address wants to
    hear of it. With `patient` it is retried like any other, because the camera may be off; but a login that was
    refused before anything was seen is a wrong one, and is raised. What turns out to be a recording is played once,
    and an error in its middle is raised.
    """

    live = True

    def __init__(
        self,
        connect: Callable[[], Source],  # connecting itself happens in the iteration
        *,
        name: str,
        backoff: Backoff = Backoff(),
        after_refused_login: Backoff = AFTER_REFUSED_LOGIN,
        patient: bool = False,
        on_status: OnStatus = no_status,
        wait: Callable[[float], object] | None = None,  # seconds; ends early on `close`
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._connect = connect
        self._backoff = backoff
        self._after_refused_login = after_refused_login
        self._patient = patient
        self._on_status = on_status
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._chance = chance
        self._lock = threading.Lock()
        self._connection: Source | None = None
        self._status = Status("connecting")
        self._causes: Counter[str] = Counter()
        self._lost: str | None = None  # code of what ended the latest connection that was up
        self._timeline = _Timeline()

    @property
    def reconnects(self) -> int:
        """How often pictures came again after they had stopped."""
        with self._lock:
            return self._causes.total()

    @property
    def causes(self) -> dict[str, int]:
        """Reconnects by the code of what had ended the connection before."""
        with self._lock:
            return dict(self._causes)

    @property
    def clock_restarts(self) -> int:
        """Of a recording: how often its own time began again."""
        return getattr(self._connection, "clock_restarts", 0)

    @property
    def codec(self) -> str:
        """Of the latest connection."""
        return "" if self._connection is None else self._connection.codec

    @property
    def progress(self) -> Progress | None:
        """Of the latest connection, where it tells."""
        return getattr(self._connection, "progress", None)

    @property
    def status(self) -> Status:
        return self._status

    def __iter__(self) -> Iterator[Frame]:
        failures = 0
        while not self._closed.is_set():
            self._become(Status("connecting", self._status.error, self._status.code))
            num_frames, error = yield from self._one_connection()
            if self._closed.is_set() or (self._is_recording and isinstance(error, _Ended)):
                break
            if self._is_recording or (num_frames == 0 and self._lost is None and not self._waits_after(error)):
                self._become(Status("closed", str(error), error.code))
                raise error
            failures = 1 if num_frames else failures + 1
            if num_frames:
                self._lost = error.code
            self._pause(error, failures)
        self._become(Status("closed"))

    def close(self) -> None:
        """Returns at once; ends waiting and the connection."""
        self._closed.set()
        with self._lock:
            connection = self._connection
        if connection is not None:
            connection.close()

    def _waits_after(self, error: StreamError) -> bool:
        """Before the first picture of all."""
        return self._patient and not isinstance(error, AuthenticationFailed)

    def _one_connection(self) -> Generator[Frame, None, tuple[int, StreamError]]:
        """Frames until it ends; returns how many, and what ended it."""
        num_frames = 0
        ending: StreamError = _Ended(f"{self.name}: the other side ended the stream.")
        try:
            for frame in self._open():
                if self._closed.is_set():
                    break
                num_frames += 1
                if num_frames == 1:
                    self._come_up(frame)
                yield self._timeline.place(frame)
        except StreamError as error:
            ending = error
        finally:
            self._drop()
        return num_frames, ending

    def _open(self) -> Iterator[Frame]:
        connection = self._connect()  # may look at the address first; meanwhile `close` returns at once
        with self._lock:
            self._connection = connection
        if self._closed.is_set():  # `close` may have come before there was anything to close
            connection.close()
        return iter(connection)

    def _drop(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.close()

    @property
    def _is_recording(self) -> bool:
        """One that only showed itself on opening. It has an end, and would begin again where it is lost."""
        return self._connection is not None and not self._connection.live

    def _come_up(self, first: Frame) -> None:
        self._timeline.begin(first)
        with self._lock:
            if self._lost is not None:
                self._causes[self._lost] += 1
        self._become(Status("up"))

    def _pause(self, error: StreamError, failures: int) -> None:
        refused = isinstance(error, AuthenticationFailed)
        delay = (self._after_refused_login if refused else self._backoff).delay(failures, self._chance())
        log.warning("%s Next attempt in %.1f s.", error, delay)
        self._become(Status("waiting", str(error), error.code, delay))
        self._wait(delay)

    def _become(self, status: Status) -> None:
        self._status = status
        self._on_status(status)


class _Ended(ConnectionFailed):
    """A live stream has no end: one that ends was lost."""

    code = ENDED


class _Timeline:
    """One clock for all connections: an outage is as long in pts as it was in this process."""

    def __init__(self) -> None:
        self._start: float | None = None  # monotonic seconds
        self._shift = 0.0
        self._last = 0.0

    def begin(self, first: Frame) -> None:
        """The first frame of a connection."""
        if self._start is None:
            self._start = first.captured
        self._shift = first.captured - self._start - first.pts

    def place(self, frame: Frame) -> Frame:
        self._last = max(self._last, frame.pts + self._shift)
        return replace(frame, pts=self._last, clock="arrival")
