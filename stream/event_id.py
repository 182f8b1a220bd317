"""Names for events that nobody else gives, and that sort by the time at which they were given.

UUIDs of version 7 (RFC 9562): milliseconds since 1970, then random bits. Python's own come with 3.14.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from uuid import UUID

RANDOM_BITS = 74
VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62


class EventIds:
    """Each greater than the one before, from any thread, also where the wall clock is set back."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock  # seconds since 1970
        self._lock = threading.Lock()
        self._newest = 0

    def next(self) -> str:
        """
        >>> EventIds(lambda: 1e9).next()[:15]
        '00e8d4a5-1000-7'
        """
        with self._lock:
            made = int(self._wall_clock() * 1000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
            self._newest = max(made, self._newest + 1)
            return str(_uuid(self._newest))


def _uuid(number: int) -> UUID:
    """Milliseconds and random bits, with version and variant put where the RFC has them."""
    milliseconds, rest = number >> RANDOM_BITS, number & (1 << RANDOM_BITS) - 1
    high, low = rest >> 62, rest & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | high << 64 | low | VERSION_AND_VARIANT)


next_id = EventIds().next  # of this process: its cameras never share a name
