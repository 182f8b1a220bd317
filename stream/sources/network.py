"""One connection to a camera or a recording on the network: RTSP, MJPEG, HLS or a plain file over HTTP.

Knows FFmpeg's options and errors. Does not reconnect: see reconnect.py. No message holds a password; FFmpeg's
own texts do, so they are never passed on nor chained.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

import av

from stream.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    SourceNotFound,
    SourceUnreadable,
    Stalled,
    StreamError,
)
from stream.frame import Frame
from stream.sources.clocks import ArrivalClock
from stream.sources.decoding import AS_A_PLAYER, Decoded, Decoding, decode_at_once, file_clock, pictures, video_track
from stream.sources.detached import Detached, Ended, OutOfTime
from stream.sources.redaction import redact

log = logging.getLogger(__name__)

RECORDINGS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".flv", ".wmv", ".3gp"})
NO_PICTURE = 30.0  # seconds in which data came but no picture; a keyframe every 20 s is the rarest seen

# What an address may lead to. A playlist from the network must not open files of this machine.
RTSP_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto"
HTTP_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto"


class NetworkSource:
    """Live: pts are seconds of this machine's monotonic clock. A recording: seconds from its first picture.

    `live=None` decides by the address: what ends like a video file is a recording, anything else is live.
    If the server then names a length all the same, the recording plays once, at its own speed, and `live`
    becomes False, so that its end is an end and no lost connection.
    """

    can_be_lost = True  # so that `open_source` connects again

    def __init__(
        self,
        address: str,
        *,
        transport: Literal["tcp", "udp"] = "tcp",  # of RTSP
        open_timeout: float = 10.0,  # seconds until the stream is described
        read_timeout: float = 5.0,  # seconds without any data
        live: bool | None = None,
        decoding: Decoding = AS_A_PLAYER,
    ) -> None:
        if transport not in ("tcp", "udp"):
            raise ValueError(f"transport {transport!r}: known are 'tcp' and 'udp'.")
        self.name = redact(address)
        self.live = is_live(address) if live is None else live
        self.codec = ""
        self.corrupt = 0  # pieces of data that could not be decoded
        self.clock_restarts = 0  # of a recording: how often its own time began again
        self._address = address
        self._transport = transport
        self._decoding = decoding
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._closed = threading.Event()
        self._reading: Detached[Frame | None] | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Frame]:
        reading = self._connect()
        if reading is None:
            return
        try:
            yield from self._frames(reading)
        finally:
            reading.close()

    def close(self) -> None:
        """Returns at once, even while a read hangs."""
        self._closed.set()
        with self._lock:
            if self._reading is not None:
                self._reading.close()

    # Waiting, in the thread that iterates

    def _connect(self) -> Detached[Frame | None] | None:
        with self._lock:
            if self._closed.is_set():
                return None
            self._reading = Detached(self._read, f"connection to {self.name}")
            return self._reading

    def _frames(self, reading: Detached[Frame | None]) -> Iterator[Frame]:
        try:
            reading.next(self._open_timeout)  # the sign that it is open
        except OutOfTime:
            raise ConnectionFailed(f"{self.name}: no stream within {self._open_timeout:g} s.") from None
        except Ended:
            return
        seen = time.monotonic()
        while True:
            try:
                frame = reading.next(self._read_timeout)
            except OutOfTime:
                raise Stalled(f"{self.name}: connected, but nothing came for {self._read_timeout:g} s.") from None
            except Ended:
                return
            if frame is not None:
                yield frame
                seen = time.monotonic()
            elif time.monotonic() - seen > NO_PICTURE:
                raise SourceUnreadable(f"{self.name}: data comes, but no picture in {NO_PICTURE:g} s.")

    # Reading, in the connection's own thread

    def _read(self) -> Generator[Frame | None, None, None]:
        """None first, once it is open; then frames, and None for data without a picture."""
        try:
            with self._open() as container:
                track = video_track(container, self.name)
                self.codec = track.codec_context.name
                if self.live:
                    decode_at_once(track)
                else:
                    track.thread_type = "AUTO"
                stamp = self._clock(container, track)
                yield None
                for picture in pictures(container, track, self._count_corrupt, self._decoding):
                    yield None if picture is None else stamp(picture)
        except av.error.FFmpegError as error:
            raise self._failure(error, opening=False) from None

    def _open(self) -> av.container.InputContainer:
        # PyAV's timeout interrupts whatever FFmpeg does, in every protocol; FFmpeg's own option `timeout` only
        # single steps. A stalled read lasts twice its timeout: after the first the parser gives what it holds.
        timeout = (self._open_timeout, self._read_timeout / 2)
        try:
            return av.open(self._address, options=self._options(), timeout=timeout)
        except av.error.FFmpegError as error:
            raise self._failure(error, opening=True) from None
        except (OSError, ValueError) as error:
            raise ConnectionFailed(f"{self.name}: {redact(str(error))}") from None

    def _options(self) -> dict[str, str]:
        if self._address.lower().startswith("rtsp"):
            # An RTSP server describes its stream; the little that is missing is in the first picture. Without
            # these two the first picture comes after 2.3 s instead of 0.2 s.
            return {
                "rtsp_transport": self._transport,
                "probesize": "32768",
                "analyzeduration": "100000",
                "protocol_whitelist": RTSP_PROTOCOLS,
            }
        return {"probesize": "500000", "analyzeduration": "500000", "protocol_whitelist": HTTP_PROTOCOLS}

    def _clock(self, container: av.container.InputContainer, track: av.VideoStream) -> Callable[[Decoded], Frame]:
        from_start = file_clock(container, track)
        arrival = ArrivalClock()
        start = time.monotonic()

        def from_first(picture: Decoded) -> float:
            pts = from_start.pts(picture.own)
            self.clock_restarts = from_start.restarts
            return pts

        def recorded(picture: Decoded) -> Frame:
            return picture.frame(from_first(picture), time.monotonic(), "file")

        def played(picture: Decoded) -> Frame:
            pts = start + from_first(picture)
            self._closed.wait(pts - time.monotonic())
            return picture.frame(pts, time.monotonic(), "arrival")

        def arrived(picture: Decoded) -> Frame:
            now = time.monotonic()
            return picture.frame(arrival.pts(picture.own, now), now, "arrival")

        if not self.live:
            return recorded
        if container.duration is None or self._address.lower().startswith("rtsp"):
            return arrived
        self.live = False
        log.info("%s is a recording: it plays once, at its own speed", self.name)
        return played

    def _count_corrupt(self) -> None:
        self.corrupt += 1

    def _failure(self, error: av.error.FFmpegError, *, opening: bool) -> StreamError:
        if isinstance(error, TimeoutError | av.error.ExitError):
            if opening:
                return ConnectionFailed(f"{self.name}: no stream within {self._open_timeout:g} s.")
            return Stalled(f"{self.name}: connected, but nothing came for {self._read_timeout:g} s.")
        for kinds, failure, words in FAILURES:
            if isinstance(error, kinds):
                return failure(f"{self.name}: {words}.")
        return ConnectionFailed(f"{self.name}: {redact(error.strerror or type(error).__name__)}.")


FAILURES: tuple[tuple[tuple[type[Any], ...], type[StreamError], str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        AuthenticationFailed,
        "the server wants another user or password",
    ),
    (
        (av.error.HTTPNotFoundError,),
        SourceNotFound,
        "the server is there, but it has nothing under this path",
    ),
    (
        (av.error.InvalidDataError, av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError),
        SourceUnreadable,
        "the answer is not a video that can be read",
    ),
    ((ConnectionRefusedError,), ConnectionFailed, "nothing listens there (connection refused)"),
)


def is_live(address: str) -> bool:
    """By its name: recordings end in the suffix of a video file."""
    parts = urlsplit(address)
    return not (parts.scheme.lower().startswith("http") and PurePosixPath(parts.path).suffix.lower() in RECORDINGS)
