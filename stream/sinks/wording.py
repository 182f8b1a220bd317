"""How an event is put into words for people, in a terminal and in a picture alike. Knows no colours and no output."""

from __future__ import annotations

from datetime import datetime

from stream.event import Box, Event
from stream.printable import printable

EPOCH_TIMES = 1e8  # seconds; pts above this count from 1970 and are shown as the time of day


def said(event: Event) -> str:
    if event.answer is None:
        return event.text
    return event.answer if event.p_yes is None else f"{event.answer}, p(yes) {event.p_yes:.2f}"


def place(box: Box) -> str:
    """Label and corners in per cent of the picture."""
    corners = " ".join(f"{100 * value:.0f}%" for value in (box.x1, box.y1, box.x2, box.y2))
    return f"{plain(box.label) or 'box'} [{corners}]"


def when(event: Event) -> str:
    """Of the window's newest frame: seconds into the stream, or the time of day where the source is live or its own
    clock counts from 1970."""
    if event.clock == "arrival" and event.time:
        return f"{datetime.fromisoformat(event.time).astimezone():%H:%M:%S}"
    return _time_of_day(event.end) if event.end >= EPOCH_TIMES else stream_time(event.end)


def span(event: Event) -> str:
    """
    >>> span(Event("door", "describe", 0, (0, 8), 0.0, 8.5, "file", 0.4, "A dog.", "stop", span=8.5))
    'of the last 8.5 s'
    """
    return f"of the last {event.span:.1f} s"


def stream_time(seconds: float) -> str:
    """
    >>> stream_time(83.25)
    '1:23.2'
    >>> stream_time(3723.0)
    '1:02:03.0'
    """
    tenths = int(max(seconds, 0.0) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{clock}:{rest // 10:02d}.{rest % 10}"


def _time_of_day(since_1970: float) -> str:
    return f"{datetime.fromtimestamp(since_1970):%H:%M:%S}"


def plain(text: str) -> str:
    """On one line, and without control characters."""
    return " ".join(printable(text).splitlines()).replace("\t", " ")
