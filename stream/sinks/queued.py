"""A sink behind a queue and a thread of its own: whoever publishes never waits for it.

A full queue drops its oldest event, because whoever watches wants the newest. Every event that does not arrive is
counted: `dropped` for want of room, `errors` where the sink failed or had not taken it when its time was up.
Knows no event's content.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable

from stream.errors import ReaderGone, StreamError
from stream.event import Event
from stream.frame import Pixels
from stream.sinks import Sink

log = logging.getLogger(__name__)

ROOM = 32  # events; each holds its picture, 6 MB in full HD
BEHIND = ROOM // 2  # events waiting, from which on a sink is behind; the rest is for all the answers about one window
NO_LONGER_WAITED_FOR = 5.0  # seconds without a delivery of a sink that is behind


class QueuedSink:
    """Order is kept. All calls of one sink come from one thread, its `close` too."""

    def __init__(
        self,
        sink: Sink,
        *,
        on_room: Callable[[], None] = lambda: None,  # it is no longer behind; from the sink's thread
        on_unread: Callable[[], None] = lambda: None,  # nobody reads what it writes; from the sink's thread
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = str(getattr(sink, "name", type(sink).__name__))
        self.errors = 0
        self.dropped = 0
        self._sink = sink
        self._on_room = on_room
        self._on_unread = on_unread
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Event, Pixels]] = deque()
        self._moved = -math.inf  # when the first of the waiting came, or the one before it was taken
        self._thread: threading.Thread | None = None
        self._is_calling = False  # the sink has a call in hand
        self._is_closing = False
        self._is_done = False
        self._is_given_up = False
        self._is_unread = False
        self._is_failing = False  # one log line per outage, not one per event
        self._is_dropping = False

    @property
    def busy_until(self) -> float:
        """Until when, on the clock, whoever can wait should publish nothing more: the past, unless it is behind."""
        with self._changed:
            return self._moved + NO_LONGER_WAITED_FOR if len(self._waiting) >= BEHIND else -math.inf

    def publish(self, event: Event, picture: Pixels) -> None:
        """Never waits."""
        with self._changed:
            if self._is_unread:
                return
            if len(self._waiting) == ROOM:
                self._drop_oldest()
            if not self._waiting:
                self._moved = self._clock()
            self._waiting.append((event, picture))
            self._begin()

    def finish(self) -> None:
        """No more will be published: deliver what waits, and close. Returns at once."""
        with self._changed:
            self._is_closing = True
            self._begin()

    def join(self, timeout: float) -> None:
        """After `finish`: waits until all is delivered, then gives it up and counts what is left as errors."""
        with self._changed:
            if self._changed.wait_for(lambda: self._is_done, timeout):
                return
            left = max(1, len(self._waiting) + self._is_calling)  # at least the close
            self.errors += left
            self._is_given_up = True
            self._waiting.clear()
        log.warning("%s is not done, and is left to itself: %d deliveries did not arrive", self.name, left)

    def _drop_oldest(self) -> None:
        self._waiting.popleft()
        self.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("%s is too slow: its oldest events are dropped", self.name)

    def _begin(self) -> None:
        if self._thread is None:  # only now: a session that never runs leaves no thread behind
            self._thread = threading.Thread(target=self._run, name=f"sink {self.name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # The sink's thread

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._call(self._sink.publish, *item)
            self._call(self._sink.close, tells=False)
        finally:
            with self._changed:
                self._is_done = True
                self._changed.notify_all()

    def _next(self) -> tuple[Event, Pixels] | None:
        """Waits for it; None when all is delivered and the sink is to be closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            self._is_calling = True
            if not self._waiting:
                return None
            self._moved = self._clock()
            item = self._waiting.popleft()
            has_caught_up = len(self._waiting) == BEHIND - 1
            self._is_dropping = self._is_dropping and bool(self._waiting)
        if has_caught_up:
            self._on_room()
        return item

    def _call(self, deliver: Callable[..., None], *item: Event | Pixels, tells: bool = True) -> None:
        """`tells` that the sink works again, where it does: an end without an error is no sign of that."""
        try:
            deliver(*item)
        except ReaderGone:
            self._lose_reader()
        except (Exception, SystemExit) as error:  # a sink ends nobody's program
            self._fail(error)
        else:
            self._succeed(tells)

    def _lose_reader(self) -> None:
        with self._changed:
            self._is_calling, self._is_unread = False, True
            self._waiting.clear()
        self._on_unread()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._is_calling = False
            self.errors += not self._is_given_up  # counted already when it was given up
            first, self._is_failing = not self._is_failing, True
        if first:
            is_defect = not isinstance(error, StreamError)  # of whoever wrote the sink, who wants to know where
            log.warning(
                "%s failed and goes on being tried: %s: %s", self.name, type(error).__name__, error, exc_info=is_defect
            )

    def _succeed(self, tells: bool) -> None:
        with self._changed:
            self._is_calling = False
            was_failing, self._is_failing = self._is_failing, False
        if was_failing and tells:
            log.warning("%s works again", self.name)
