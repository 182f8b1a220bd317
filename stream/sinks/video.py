"""An MP4 that outlives what happens to its writer.

Every picture goes to the disk as a fragment of its own, once the next one tells for how long it is shown: after a crash
all but the newest can be played. Closing makes an ordinary MP4 of it, quick to seek in. When the disk takes no more,
the file ends with the last whole fragment, and every further picture is refused.
Knows one file and H.264; times in seconds.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av

from stream.errors import SinkUnwritable
from stream.frame import Pixels

TIME_BASE = Fraction(1, 90_000)  # seconds per tick, as in most video files
LAST = 1.0  # seconds for which the only picture is shown; otherwise the last stays as long as the one before
MUXER = {"movflags": "hybrid_fragmented+frag_every_frame", "flush_packets": "1"}
# Each picture leaves the encoder at once; one in thirty is whole, so that a file without its end can be searched too.
ENCODER = {"crf": "20", "preset": "veryfast", "tune": "zerolatency", "g": "30"}


class Video:
    def __init__(self, path: Path, width: int, height: int) -> None:
        """Both sides even. Replaces an older file. Raises SinkUnwritable."""
        self.path = path
        try:
            self._file = _Unbuffered(path)
        except OSError as error:
            raise unwritable(path, error) from error
        self._container = av.open(self._file, "w", format="mp4", options=MUXER)
        self._stream = self._container.add_stream("libx264", rate=30, options=ENCODER)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE
        self._begin: float | None = None  # when the first picture was seen
        self._pts = -1  # of the newest picture, in ticks
        self._spacing = round(LAST / TIME_BASE)  # between the newest two, in ticks
        self._failure: SinkUnwritable | None = None

    def add(self, picture: Pixels, seen: float) -> None:
        """Raises SinkUnwritable from the moment on in which the disk takes no more."""
        if self._failure is not None:
            raise self._failure
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._next_pts(seen), TIME_BASE
        self._encode(frame)

    def close(self) -> None:
        """Raises SinkUnwritable if the disk takes no more."""
        try:
            if self._failure is None:
                self._encode(None)
                self._finish()
        finally:
            self._file.close()

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """One picture into the file; None: what the encoder still holds."""
        for packet in self._stream.encode(frame):
            packet.duration = self._spacing  # counts for the last picture only: nothing comes after it
            try:
                self._container.mux(packet)
            except OSError as error:
                self._give_up(error)
        self._file.mark_whole()

    def _finish(self) -> None:
        try:
            self._container.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._file.cut()
        self._failure = SinkUnwritable(
            f"{self.path}: the disk took no more ({error.strerror}). What was written before can be played; "
            "make room and start again, with another file."
        )
        raise self._failure from error

    def _next_pts(self, seen: float) -> int:
        before = self._pts
        if self._begin is None:
            self._begin = seen
        self._pts = max(before + 1, round((seen - self._begin) / TIME_BASE))
        if before >= 0:
            self._spacing = self._pts - before
        return self._pts


def unwritable(path: Path, error: OSError) -> SinkUnwritable:
    return SinkUnwritable(f"{path}: the video cannot be written there ({error.strerror}). Choose another file.")


class _Unbuffered:
    """A file whose bytes are the system's at once, so that they outlive this process; what PyAV asks of a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._whole = 0  # bytes up to the end of a fragment
        self._is_full = False

    def write(self, data: bytes) -> int:
        """All of it, or OSError; after that nothing, because what the muxer believes of the file is no longer true."""
        if self._is_full:
            return len(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._is_full = True
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def mark_whole(self) -> None:
        self._whole = os.fstat(self._file.fileno()).st_size

    def cut(self) -> None:
        self._file.truncate(self._whole)

    def close(self) -> None:
        self._file.close()
