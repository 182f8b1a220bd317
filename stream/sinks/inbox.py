"""Events for whoever takes them when it suits: a sink that a program reads from.

Knows no event's content. Several streams may write to it, each through a handle (shared.py).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from stream.event import Event
from stream.frame import Pixels


class Inbox:
    """`room` events wait at most; a full one drops its oldest. None: all wait, as befits a file, which has an end."""

    name = "inbox"

    def __init__(self, room: int | None = None) -> None:
        self.dropped = 0  # for want of room
        self._room = room
        self._changed = threading.Condition()
        self._waiting: deque[Event] = deque()
        self._is_closed = False
        self._listeners: list[Callable[[], object]] = []

    def publish(self, event: Event, picture: Pixels) -> None:
        with self._changed:
            if self._room is not None and len(self._waiting) == self._room:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(event)
        self._tell()

    def close(self) -> None:
        """No more will come; what waits can still be taken. Idempotent."""
        with self._changed:
            self._is_closed = True
        self._tell()

    def take(self) -> Event | None:
        """The oldest, waiting for it; None once no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return self._waiting.popleft() if self._waiting else None

    def take_waiting(self) -> tuple[list[Event], bool]:
        """All that wait, and whether more may come; at once."""
        with self._changed:
            events, may_come = list(self._waiting), not self._is_closed
            self._waiting.clear()
            return events, may_come

    def listen(self, heard: Callable[[], object]) -> None:
        """Calls `heard`, from any thread, whenever `take_waiting` may have something new to say."""
        self._listeners.append(heard)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        for heard in self._listeners:
            heard()
