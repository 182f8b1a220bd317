"""The newest events of all cameras, and who listens. A listener that is slow loses the oldest, and is told so.

Knows event loops and no HTTP.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from stream.event import Event
from stream.frame import Pixels

ROOM = 1000  # events that are remembered


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands among events for those that were forgotten before their listener took them."""

    count: int


class Hub:
    """A sink for every camera, whose events any number of listeners follow."""

    name = "listeners"

    def __init__(self, room: int = ROOM) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=room)
        self._count = 0  # of all that ever came
        self._wakers: set[Callable[[], None]] = set()
        self._is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        with self._lock:
            self._kept.append(event)
            self._count += 1
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def close(self) -> None:
        """A camera's goodbye: the others' events go on."""

    def end(self) -> None:
        """All listeners come to their ends."""
        with self._lock:
            self._is_closed = True
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def newest(self, stream: str, task: str | None = None) -> Event | None:
        with self._lock:
            fitting = (e for e in reversed(self._kept) if e.stream == stream and task in (None, e.task))
            return next(fitting, None)

    async def listen(
        self, stream: str | None = None, after: str | None = None, quiet: float = 15.0
    ) -> AsyncGenerator[Event | Missed | None]:
        """Events from now on, of one stream or all; or those `after` the event of that id, if it is remembered still,
        and else all that are. None after each `quiet` seconds without any, so that dead listeners are found."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        with self._lock:
            self._wakers.add(wake)
            place = self._count if after is None else self._place_after(after)
        try:
            while True:
                news.clear()
                events, missed, place, is_over = self._since(place)
                if missed:
                    yield Missed(missed)
                for event in events:
                    if stream in (None, event.stream):
                        yield event
                if is_over:
                    return
                if not events:
                    try:
                        await asyncio.wait_for(news.wait(), quiet)
                    except TimeoutError:
                        yield None
        finally:
            with self._lock:
                self._wakers.discard(wake)

    def _place_after(self, event_id: str) -> int:
        """Where to go on: ids of one process rise from event to event."""
        first = self._count - len(self._kept)
        return first + sum(event.id <= event_id for event in self._kept)

    def _since(self, place: int) -> tuple[list[Event], int, int, bool]:
        """Events from that place on, how many of them are forgotten, the next place, and whether no more will come."""
        with self._lock:
            first = self._count - len(self._kept)
            kept = list(self._kept)[max(0, place - first) :]
            return kept, max(0, first - place), self._count, self._is_closed
