"""One connection, read in a thread of its own and waited for with limits: what all live sources have alike.

Knows frames, and what a time without any means. Knows no container, no protocol and no address.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from stream.errors import SourceUnreadable, Stalled, StreamError
from stream.frame import Frame
from stream.sources.detached import Detached, Ended, OutOfTime

log = logging.getLogger(__name__)

NO_PICTURE = 30.0  # seconds in which data came but no picture; a keyframe every 20 s is the rarest seen
UNDECODED_IN_SILENCE = 2.0  # seconds of waiting for a keyframe in silence
STEP = 1.0  # seconds between two frames that stand for a picture that is held
LONGEST_STILL = 600.0  # seconds; longer than anybody looks at one page, and then the camera may show a new keyframe
KEYFRAMES = "waiting for a keyframe. A shorter keyframe interval in the camera's settings shortens this."
GOODBYE = 1.0  # seconds in which the other side is told that nobody watches any more (TEARDOWN, in RTSP)
LOOK_UP = 0.5  # seconds between two looks at what else there is to hear

Read = Callable[[], Generator[Frame | None, None, None]]
"""None first, once it is open; then frames, and None for data without a picture."""


@dataclass(slots=True)
class Progress:
    """How far a connection came, in monotonic seconds; None: not yet."""

    opened: float | None = None
    first_data: float | None = None


class Connection:
    """Gives the frames of `read`, and raises what `too_late(opening)` makes when nothing comes in time."""

    def __init__(
        self,
        name: str,
        read: Read,
        too_late: Callable[[bool], StreamError],
        *,
        open_timeout: float,  # seconds until it is open
        read_timeout: float,  # seconds without any data
        silent_means_still: bool = True,  # False: pictures may be lost on the way, or are not asked for
        why_undecoded: str = KEYFRAMES,  # for people: data comes, and why it makes no picture
        patience: float = UNDECODED_IN_SILENCE,
        step: float = STEP,
        longest_still: float = LONGEST_STILL,
    ) -> None:
        self.closed = threading.Event()
        self.progress = Progress()
        self._name = name
        self._read = read
        self._too_late = too_late
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._silent_means_still = silent_means_still
        self._why_undecoded = why_undecoded
        self._patience = patience
        self._step = step
        self._longest_still = longest_still
        self._alive = float("-inf")  # when something was heard that is no data of the pictures
        self._lock = threading.Lock()
        self._reading: Detached[Frame | None] | None = None

    def frames(self) -> Iterator[Frame]:
        reading = self._begin()
        if reading is None:
            return
        goodbye = GOODBYE
        try:
            yield from self._take(reading)
        except Ended:
            return
        except StreamError:
            goodbye = 0.0  # there is nobody to be told, and whoever connects again is in a hurry
            raise
        finally:
            reading.close()
            reading.join(goodbye)

    def heard(self) -> bool:
        """Something came that is no data of the pictures, sound for example. From any thread.

        False: nobody reads any more, and nothing need come.
        """
        self._alive = time.monotonic()
        with self._lock:
            return self._reading is not None and not self._reading.closed

    def wait(self, seconds: float) -> None:
        """For the reading thread, when its next picture is here and not due yet: no silence, and ended by `close`."""
        due = time.monotonic() + seconds
        while self.heard() and (left := due - time.monotonic()) > 0:
            self.closed.wait(min(left, LOOK_UP, self._read_timeout / 2))

    def close(self) -> None:
        """Returns at once, even while a read hangs; the iteration ends within `GOODBYE` seconds. Idempotent."""
        self.closed.set()
        with self._lock:
            if self._reading is not None:
                self._reading.close()

    def _begin(self) -> Detached[Frame | None] | None:
        with self._lock:
            if self.closed.is_set():
                return None
            self._reading = Detached(self._read, f"connection to {self._name}")
            return self._reading

    def _take(self, reading: Detached[Frame | None]) -> Iterator[Frame]:
        self._open(reading)
        last: Frame | None = None
        while True:
            newest, waiting = yield from self._next_picture(reading, last)
            if last is not None and not waiting.undecoded:
                yield from self._stood(waiting.held or last, newest)
            yield newest
            last = newest

    def _open(self, reading: Detached[Frame | None]) -> None:
        try:
            reading.next(self._open_timeout)  # the sign that it is open
        except OutOfTime:
            raise self._too_late(True) from None
        self.progress.opened = time.monotonic()

    def _next_picture(
        self, reading: Detached[Frame | None], last: Frame | None
    ) -> Generator[Frame, None, tuple[Frame, _Waiting]]:
        """Gives what is held while it waits."""
        waiting = _Waiting(time.monotonic())
        while True:
            try:
                frame = reading.next(min(LOOK_UP, self._step, self._read_timeout))
            except OutOfTime:
                self._check_life(waiting)
            else:
                came = time.monotonic() if frame is None else frame.captured
                self.progress.first_data = self.progress.first_data or came
                if frame is not None:
                    return waiting.in_order(frame), waiting
                waiting.data_came(time.monotonic())
                self._check_keyframe(waiting)
            if last is not None:
                yield from self._held(waiting, last)

    # What a time without pictures means

    def _check_life(self, waiting: _Waiting) -> None:
        now = time.monotonic()
        if now - max(waiting.heard, self._alive) >= self._read_timeout:
            raise self._too_late(False) from None
        if now - waiting.began > self._longest_still:
            raise Stalled(f"{self._name}: connected, but its picture has stood for {self._longest_still:g} s.")

    def _check_keyframe(self, waiting: _Waiting) -> None:
        """Who joins in the middle sees nothing until the camera sends a whole picture again."""
        seconds = waiting.heard - waiting.began
        if seconds > NO_PICTURE:
            raise SourceUnreadable(f"{self._name}: data comes, but no picture in {NO_PICTURE:g} s.")
        if seconds > self._patience and not waiting.said:
            waiting.said = True
            log.warning("%s: data comes, but no picture yet: %s", self._name, self._why_undecoded)

    def _held(self, waiting: _Waiting, last: Frame) -> Iterator[Frame]:
        """The connection lives and sends no picture: the last one still stands. One step late, so that a
        picture that is only late finds its place. A file's own time stands still while nobody reads it."""
        if last.clock != "arrival":
            return
        now = time.monotonic()
        before = waiting.held or last
        until = min(now, self._alive) - (last.captured - last.pts) - self._step
        if not waiting.undecoded and until - before.pts >= self._step:
            waiting.held = replace(last, pts=until, captured=now, held=True)
            yield waiting.held

    def _stood(self, last: Frame, newest: Frame) -> Iterator[Frame]:
        """A hole on a connection that loses nothing, seen from behind: nothing was sent, so nothing had changed."""
        hole = newest.pts - last.pts
        if not self._silent_means_still or newest.clock != "arrival" or hole > self._read_timeout + self._step:
            return
        seconds = self._step
        while seconds < hole:
            captured = min(last.captured + seconds, newest.captured)
            yield replace(last, pts=last.pts + seconds, captured=captured, held=True)
            seconds += self._step


@dataclass(slots=True)
class _Waiting:
    """One wait for a picture; times in monotonic seconds."""

    began: float
    heard: float = 0.0
    undecoded: bool = False  # data came of which no picture could be made
    said: bool = False
    held: Frame | None = None  # the newest one that was given in place of a picture

    def __post_init__(self) -> None:
        self.heard = self.began

    def data_came(self, now: float) -> None:
        self.heard, self.undecoded = now, True

    def in_order(self, frame: Frame) -> Frame:
        return frame if self.held is None or frame.pts >= self.held.pts else replace(frame, pts=self.held.pts)
