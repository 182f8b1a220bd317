"""Where events go. A sink is one file and one line in `SINKS`.

A sink may take its time: a session gives each a bounded queue and a thread of its own (`queued.py`).
"""

from __future__ import annotations

from typing import Protocol

from stream.event import Event
from stream.frame import Pixels

SINKS = {
    "stdout": "stream.sinks.stdout:StdoutSink",
    "jsonl": "stream.sinks.jsonl:JsonlSink",
    "overlay": "stream.sinks.overlay:OverlaySink",
    "snapshots": "stream.sinks.snapshots:SnapshotsSink",
}


class Sink(Protocol):
    """All calls come from one thread, one after the other. What is raised is counted and logged, and ends nothing;
    ReaderGone ends the watching in good order."""

    def publish(self, event: Event, picture: Pixels) -> None:
        """`picture` is the newest frame the event speaks of, at the source's own size."""
        ...

    def close(self) -> None:
        """Finishes what was begun. Idempotent."""
        ...
