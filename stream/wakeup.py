"""A thread sleeps until there is something to do.

Knows nothing of what there is to do: whoever was woken looks for itself.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

SIGNAL_WAIT = 0.5  # seconds; a signal in the instant before a wait is handled by Python only after it


class Wakeup:
    """`set` from any thread or signal handler; one thread waits. A `set` lasts until a `wait` has seen it."""

    def __init__(self) -> None:
        # A bare lock, taken by who waits and given by who wakes. Unlike a condition it is never held while Python
        # code runs, so that a signal handler and a thread that holds other locks may set it at any moment.
        self._given = threading.Lock()
        self._given.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # it is set already
            self._given.release()

    def wait(self, timeout: float) -> None:
        """Until `set`, `timeout` seconds at most."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if self._given.acquire(timeout=min(left, SIGNAL_WAIT)):
                return
