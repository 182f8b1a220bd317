"""One connection, read in a thread of its own and waited for with limits: what all live sources have alike.

Knows frames and time. Knows no container, no protocol and no address.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator

from stream.errors import SourceUnreadable, StreamError
from stream.frame import Frame
from stream.sources.detached import Detached, Ended, OutOfTime

NO_PICTURE = 30.0  # seconds in which data came but no picture; a keyframe every 20 s is the rarest seen

Read = Callable[[], Generator[Frame | None, None, None]]
"""None first, once it is open; then frames, and None for data without a picture."""


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
    ) -> None:
        self.closed = threading.Event()
        self._name = name
        self._read = read
        self._too_late = too_late
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._reading: Detached[Frame | None] | None = None

    def frames(self) -> Iterator[Frame]:
        reading = self._begin()
        if reading is None:
            return
        try:
            yield from self._take(reading)
        except Ended:
            return
        finally:
            reading.close()

    def close(self) -> None:
        """Returns at once, even while a read hangs. Idempotent."""
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
        self._next(reading, opening=True)
        seen = time.monotonic()
        while True:
            frame = self._next(reading)
            if frame is not None:
                yield frame
                seen = time.monotonic()
            elif time.monotonic() - seen > NO_PICTURE:
                raise SourceUnreadable(f"{self._name}: data comes, but no picture in {NO_PICTURE:g} s.")

    def _next(self, reading: Detached[Frame | None], opening: bool = False) -> Frame | None:
        try:
            return reading.next(self._open_timeout if opening else self._read_timeout)
        except OutOfTime:
            raise self._too_late(opening) from None
