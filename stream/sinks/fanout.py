"""Many sinks as one: a failing sink is logged and counted, and never stops the others.

Knows no event's content.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from stream.event import Event
from stream.frame import Pixels
from stream.sinks import Sink

log = logging.getLogger(__name__)


class FanOut:
    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.errors = 0
        self._sinks = tuple(sinks)
        self._failing: set[int] = set()  # positions; one log line per outage, not one per event

    def publish(self, event: Event, picture: Pixels) -> None:
        for position, sink in enumerate(self._sinks):
            self._guard(position, lambda sink=sink: sink.publish(event, picture))  # type: ignore[misc]

    def close(self) -> None:
        for position, sink in enumerate(self._sinks):
            self._guard(position, sink.close)

    def _guard(self, position: int, deliver: Callable[[], None]) -> None:
        name = type(self._sinks[position]).__name__
        try:
            deliver()
        except Exception as error:
            self.errors += 1
            if position not in self._failing:
                self._failing.add(position)
                log.warning("%s failed and goes on being tried: %s: %s", name, type(error).__name__, error)
        else:
            if position in self._failing:
                self._failing.remove(position)
                log.warning("%s works again", name)
