"""A video of what was seen and what was said of it: each answered window's newest frame with its boxes,
and the answers in a bar below. Plays at the stream's own speed.

Knows one file. Draws with `draw.py`; all answers about one window share one picture.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from stream.event import Event
from stream.frame import Pixels
from stream.sinks import SinkUnwritable
from stream.sinks.draw import Sheet

TIME_BASE = Fraction(1, 90_000)  # seconds per tick, as in most video files
LAST = 1.0  # seconds for which the only picture is shown; otherwise the last stays as long as the one before


class OverlaySink:
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open("wb").close()  # fails here and now; the library opens the file at the first picture
            self._file = av.open(str(self.path), "w", format="mp4")
        except OSError as error:
            raise SinkUnwritable(
                f"{self.path}: the video cannot be written there ({error.strerror}). Choose another file."
            ) from error
        self._stream: av.VideoStream | None = None
        self._sheet: Sheet | None = None
        self._events: list[Event] = []  # of one window, not yet drawn
        self._picture: Pixels | None = None  # the frame they speak of
        self._begin = 0.0  # end of the first window, seconds on the source's clock
        self._pts = -1  # of the newest picture in the file, in ticks
        self._spacing = round(LAST / TIME_BASE)  # between the newest two pictures, in ticks
        self._is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        if self._events and (event.groups, event.end) != (self._events[-1].groups, self._events[-1].end):
            self._write()
        self._events.append(event)
        self._picture = picture

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._events:
                self._write()
            self._encode(None)
        finally:
            self._file.close()
            if self._stream is None:
                self.path.unlink(missing_ok=True)  # a video of nothing is no video

    def _write(self) -> None:
        """Draws what was said of one window, and encodes it at the window's own time."""
        events, picture = self._events, self._picture
        self._events, self._picture = [], None  # first: a picture that cannot be drawn is not tried again
        assert picture is not None
        if self._sheet is None:
            self._sheet = Sheet(picture, len(events))
            self._stream = self._add_stream(self._sheet)
            self._begin = events[0].end
        frame = av.VideoFrame.from_ndarray(self._sheet.draw(picture, events), format="rgb24")
        frame.pts, frame.time_base = self._next_pts(events[0].end), TIME_BASE
        self._encode(frame)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """One picture into the file; None: what the encoder still holds."""
        if self._stream is None:
            return
        for packet in self._stream.encode(frame):
            packet.duration = self._spacing  # counts for the last picture only: nothing comes after it
            self._file.mux(packet)

    def _next_pts(self, end: float) -> int:
        before = self._pts
        self._pts = max(before + 1, round((end - self._begin) / TIME_BASE))
        if before >= 0:
            self._spacing = self._pts - before
        return self._pts

    def _add_stream(self, sheet: Sheet) -> av.VideoStream:
        stream = self._file.add_stream("libx264", rate=30)
        stream.width, stream.height = sheet.width, sheet.height + sheet.bar
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        # Each picture leaves the encoder at once, so that little is lost and little is held.
        stream.options = {"crf": "20", "preset": "veryfast", "tune": "zerolatency"}
        return stream
