"""One sink for the events of several streams: a file or a terminal that all write to.

Each stream gets a handle of its own to publish to and to close. The calls of all come one after the other, and the sink
is closed with the last of them. Knows no event's content.
"""

from __future__ import annotations

import threading

from stream.event import Event
from stream.frame import Pixels
from stream.sinks import Sink


def share(sink: Sink, num_streams: int) -> list[Sink]:
    """A handle for each stream."""
    desk = _Desk(sink, num_streams)
    return [_Handle(desk) for _ in range(num_streams)]


class _Desk:
    def __init__(self, sink: Sink, num_open: int) -> None:
        self.name = type(sink).__name__  # for the log
        self._sink = sink
        self._num_open = num_open
        self._lock = threading.Lock()  # each stream's queue has a thread of its own

    def publish(self, event: Event, picture: Pixels) -> None:
        with self._lock:
            self._sink.publish(event, picture)

    def leave(self) -> None:
        with self._lock:
            self._num_open -= 1
            if self._num_open == 0:
                self._sink.close()


class _Handle:
    def __init__(self, desk: _Desk) -> None:
        self.name = desk.name
        self._desk = desk
        self._is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        self._desk.publish(event, picture)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._desk.leave()
