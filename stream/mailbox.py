"""Hand-over between the thread that reads a source and the thread that owns the engine.

Knows groups and room. Knows no time grid and no model. Only who puts ever waits, on a condition; who takes is
told of every change, and decides itself how to wait.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from stream.frame import Group
from stream.ledger import OVERRUN, STOPPED


def num_frames(groups: Iterable[Group]) -> int:
    return sum(group.num_frames for group in groups)


class Mailbox:
    """Live: holds the newest groups and drops the oldest. Not live: whoever puts waits for room."""

    def __init__(
        self,
        capacity_groups: int,
        live: bool,
        *,
        lock: threading.RLock | None = None,  # the ledger's, where both must change in one step
        on_drop: Callable[[str, int], None] = lambda reason, num_frames: None,
        on_arrival: Callable[[], None] = lambda: None,  # a group or the end is there; called under the lock
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity_groups < 1:
            raise ValueError(f"The mailbox has room for {capacity_groups} groups: it needs at least 1.")
        self._capacity = capacity_groups
        self._live = live
        self._on_drop = on_drop
        self._on_arrival = on_arrival
        self._clock = clock
        self._changed = threading.Condition(lock or threading.RLock())
        self._groups: deque[Group] = deque()
        self._door: deque[Group] = deque()  # put, but waiting for room
        self._waiting_since = math.inf
        self._closed = False
        self._error: BaseException | None = None

    @property
    def pending(self) -> int:
        """Frames inside and at the door."""
        with self._changed:
            return num_frames(self._groups) + num_frames(self._door)

    @property
    def ended(self) -> bool:
        """Closed, and everything was taken."""
        with self._changed:
            return self._closed and not self._groups

    @property
    def waiting_since(self) -> float:
        """When the first group came, or the end, that found the mailbox empty; infinite while it is empty.

        Groups that were dropped since do not make the wait any shorter.
        """
        with self._changed:
            return self._waiting_since

    def put(self, groups: Sequence[Group]) -> bool:
        """Hands over; False when the mailbox is closed, and nothing more is wanted."""
        with self._changed:
            self._door.extend(groups)
            if self._live:
                self._squeeze_in()
            else:
                self._wait_for_room()
            self._drop(self._door, STOPPED)  # left at the door only by closing
            return not self._closed

    def take(self, limit: int | None = None) -> list[Group]:
        """The oldest groups; nothing where none is, and at the end. Never waits.

        An error given to `close` is raised once everything before it has been taken.
        """
        with self._changed:
            count = len(self._groups) if limit is None else min(limit, len(self._groups))
            taken = [self._groups.popleft() for _ in range(count)]
            self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
            if not self._groups and not self._closed:
                self._waiting_since = math.inf
            return taken

    def close(self, error: BaseException | None = None) -> None:
        """No more groups will come. What is inside can still be taken. The first call counts."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
                self._arrive()
            self._changed.notify_all()

    def discard(self, reason: str) -> None:
        """Drops what is inside and at the door."""
        with self._changed:
            self._drop(self._groups, reason)
            self._drop(self._door, reason)
            self._changed.notify_all()

    def _squeeze_in(self) -> None:
        while self._door and not self._closed:
            if len(self._groups) == self._capacity:
                self._on_drop(OVERRUN, self._groups.popleft().num_frames)
            self._let_in()

    def _wait_for_room(self) -> None:
        while self._door and not self._closed:
            if len(self._groups) < self._capacity:
                self._let_in()
            else:
                self._changed.wait()

    def _let_in(self) -> None:
        self._groups.append(self._door.popleft())
        self._arrive()

    def _arrive(self) -> None:
        self._waiting_since = min(self._waiting_since, self._clock())
        self._on_arrival()

    def _drop(self, groups: deque[Group], reason: str) -> None:
        count = num_frames(groups)
        groups.clear()
        if count:
            self._on_drop(reason, count)
