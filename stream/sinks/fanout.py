"""Many sinks as one, each behind a queue of its own: a slow or failing sink holds up neither the others nor whoever
publishes.

Knows no event's content.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from stream.event import Event
from stream.frame import Pixels
from stream.sinks import Sink
from stream.sinks.queued import QueuedSink

CLOSE_TIMEOUT = 5.0  # seconds for all sinks together to deliver what waits, and to close


class FanOut:
    def __init__(
        self,
        sinks: Sequence[Sink],
        *,
        on_room: Callable[[], None] = lambda: None,  # a sink has caught up; from its thread
        on_unread: Callable[[], None] = lambda: None,  # nobody reads what a sink writes; from its thread
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = [QueuedSink(sink, on_room=on_room, on_unread=on_unread, clock=clock) for sink in sinks]

    @property
    def errors(self) -> int:
        return sum(sink.errors for sink in self._sinks)

    @property
    def dropped(self) -> int:
        return sum(sink.dropped for sink in self._sinks)

    @property
    def busy_until(self) -> float:
        """Until when, on the clock, whoever can wait should publish nothing: a sink is behind, but not stuck."""
        return max((sink.busy_until for sink in self._sinks), default=-math.inf)

    def publish(self, event: Event, picture: Pixels) -> None:
        """Never waits."""
        for sink in self._sinks:
            sink.publish(event, picture)

    def close(self) -> None:
        """Waits until all is delivered, `CLOSE_TIMEOUT` at most."""
        for sink in self._sinks:
            sink.finish()
        end = time.monotonic() + CLOSE_TIMEOUT
        for sink in self._sinks:
            sink.join(max(0.0, end - time.monotonic()))
