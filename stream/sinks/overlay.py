"""A video of what was seen and what was said of it: each answered window's newest frame with its boxes,
and the answers in a bar below. Plays at the stream's own speed.

All answers about one window share one picture, which is drawn when the next window's first answer comes. Knows when to
draw; `draw.py` draws, and `video.py` writes so that a crash or a full disk costs the newest pictures only.
"""

from __future__ import annotations

from pathlib import Path

from stream.event import Event
from stream.frame import Pixels
from stream.sinks.draw import Sheet
from stream.sinks.video import Video, unwritable


class OverlaySink:
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        _check(self.path)
        self._video: Video | None = None  # from the first picture on: until then an older file stays
        self._sheet: Sheet | None = None
        self._events: list[Event] = []  # of one window, not yet drawn
        self._picture: Pixels | None = None  # the frame they speak of
        self._is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        """Raises SinkUnwritable once the disk is full."""
        try:
            if self._events and (event.groups, event.end) != (self._events[-1].groups, self._events[-1].end):
                self._write()
        finally:  # a picture that fails takes no other with it
            self._events.append(event)
            self._picture = picture

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._events:
                self._write()
        finally:
            if self._video is not None:
                self._video.close()

    def _write(self) -> None:
        """Draws what was said of one window, and encodes it at the window's own time."""
        events, picture = self._events, self._picture
        self._events, self._picture = [], None  # first: a picture that cannot be drawn is not tried again
        assert picture is not None
        if self._sheet is None:
            self._sheet = Sheet(picture, len(events))
        drawn = self._sheet.draw(picture, events)
        if self._video is None:
            self._video = Video(self.path, drawn.shape[1], drawn.shape[0])
        self._video.add(drawn, events[0].end)


def _check(path: Path) -> None:
    """Fails here and now, and leaves an older file as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error) from error
