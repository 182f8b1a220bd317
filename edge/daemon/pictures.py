"""Each camera's newest judged picture: the frame that its newest answers speak of, with their boxes and words.

A picture is encoded when somebody asks for it, once, however many ask.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable

from PIL import Image

from stream.event import Event
from stream.frame import Pixels
from stream.sinks.draw import Sheet

QUALITY = 85  # of 100


class Judged:
    """A sink for one camera. Answers about the same frame are drawn together."""

    name = "pictures"

    def __init__(self, num_tasks: int) -> None:
        self._lock = threading.Lock()
        self._num_tasks = num_tasks
        self._picture: Pixels | None = None
        self._events: dict[str, Event] = {}  # by task, of the newest frame
        self._sheet: Sheet | None = None
        self._shape: tuple[int, ...] = ()
        self._encoded: bytes | None = None
        self._wakers: set[Callable[[], None]] = set()
        self._is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        with self._lock:
            if any(event.end != other.end for other in self._events.values()):
                self._events.clear()
            self._events[event.task] = event
            self._picture, self._encoded = picture, None
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def close(self) -> None:
        """Who watches the pictures comes to an end."""
        with self._lock:
            self._is_closed = True
            wakers = list(self._wakers)
        for wake in wakers:
            wake()

    def jpeg(self) -> tuple[bytes, Event] | None:
        """The picture as a JPEG, and the newest event it shows; None before the first answer."""
        with self._lock:
            if self._picture is None:
                return None
            if self._encoded is None:
                self._encoded = self._draw(self._picture)
            return self._encoded, list(self._events.values())[-1]

    async def follow(self) -> AsyncIterator[bytes]:
        """Each picture that is new when the last one has been taken."""
        loop, news, before = asyncio.get_running_loop(), asyncio.Event(), b""

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        with self._lock:
            self._wakers.add(wake)
        try:
            while not self._is_closed:
                news.clear()
                found = await asyncio.to_thread(self.jpeg)
                if found is not None and found[0] is not before:
                    before = found[0]
                    yield before
                await news.wait()
        finally:
            with self._lock:
                self._wakers.discard(wake)

    def _draw(self, picture: Pixels) -> bytes:
        if self._sheet is None or picture.shape != self._shape:
            self._sheet, self._shape = Sheet(picture, self._num_tasks), picture.shape
        encoded = io.BytesIO()
        Image.fromarray(self._sheet.draw(picture, list(self._events.values()))).save(encoded, "JPEG", quality=QUALITY)
        return encoded.getvalue()
