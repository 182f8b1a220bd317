"""One connection to a camera or a recording on the network: RTSP, MJPEG, HLS or a plain file over HTTP.

Knows FFmpeg's options and errors. Does not reconnect: see reconnect.py. No message holds a password; FFmpeg's
own texts do, so they are never passed on nor chained.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator
from typing import Any, Literal

import av

from stream.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    LoginUnsupported,
    SourceNotFound,
    SourceUnreadable,
    Stalled,
    StreamError,
)
from stream.frame import Frame
from stream.sources.challenge import wants_unknown_digest
from stream.sources.clocks import FileClock
from stream.sources.connection import Connection, Progress
from stream.sources.container import ContainerReader, Stamp, arrival_stamps, paced_stamps
from stream.sources.decoding import AS_A_PLAYER, Decoded, Decoding, decode_at_once, file_clock
from stream.sources.redaction import redact
from stream.sources.unfinished import UNFINISHED, begins_like_mp4
from stream.sources.web_look import first_bytes

log = logging.getLogger(__name__)

# What an address may lead to. A playlist from the network must not open files of this machine.
RTSP_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto"
HTTP_PROTOCOLS = "http,https,httpproxy,tcp,tls,crypto"

BEYOND = 0.1  # seconds after the end of a recording at which no picture of it comes

UNKNOWN_DIGEST = (
    "the server asks for a login by Digest without MD5 (SHA-256, say), which cannot be given here; "
    "the password may well be right. Allow Digest with MD5 or Basic in the camera's settings."
)


class NetworkSource:
    """Live: pts are seconds of this machine's monotonic clock. A recording: seconds from its first picture.

    `live=None` is live until the container names a length: then the recording plays once, at its own speed,
    and `live` becomes False, so that its end is an end and no lost connection. A camera that sends fragments names
    the length of the first; with the first picture beyond it `live` is True again.
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
        self.live = live is not False
        self.clock_restarts = 0  # of a recording: how often its own time began again
        self._is_rtsp = address.lower().startswith("rtsp")
        self._may_have_an_end = live is None and not self._is_rtsp
        self._address = address
        self._transport = transport
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._reader = ContainerReader(self.name, self._open, self._stamps, self._failure, self._heard, decoding)
        self._connection = Connection(
            self.name,
            self._reader.read,
            self._too_late,
            open_timeout=open_timeout,
            read_timeout=read_timeout,
            silent_means_still=not (self._is_rtsp and transport == "udp"),
        )

    @property
    def codec(self) -> str:
        return self._reader.codec

    @property
    def corrupt(self) -> int:
        """Pieces of data that could not be decoded."""
        return self._reader.corrupt

    @property
    def progress(self) -> Progress:
        return self._connection.progress

    def __iter__(self) -> Iterator[Frame]:
        return self._connection.frames()

    def close(self) -> None:
        """Returns at once, even while a read hangs."""
        self._connection.close()

    # In the connection's own thread

    def _open(self) -> av.container.InputContainer:
        # PyAV's timeout interrupts whatever FFmpeg does, in every protocol; FFmpeg's own option `timeout` only
        # single steps. A stalled read lasts twice its timeout: after the first the parser gives what it holds.
        timeout = (self._open_timeout, self._read_timeout / 2)
        try:
            return av.open(self._address, options=self._options(), timeout=timeout)
        except av.error.FFmpegError:
            raise
        except (OSError, ValueError) as error:
            raise ConnectionFailed(f"{self.name}: {redact(str(error))}") from None

    def _options(self) -> dict[str, str]:
        if self._is_rtsp:
            # An RTSP server describes its stream; the little that is missing is in the first picture. Without
            # these two the first picture comes after 2.3 s instead of 0.2 s.
            return {
                "rtsp_transport": self._transport,
                "probesize": "32768",
                "analyzeduration": "100000",
                "protocol_whitelist": RTSP_PROTOCOLS,
            }
        return {"probesize": "500000", "analyzeduration": "500000", "protocol_whitelist": HTTP_PROTOCOLS}

    def _stamps(self, container: av.container.InputContainer, track: av.VideoStream) -> Stamp:
        if not self.live:
            track.thread_type = "AUTO"
            return self._recorded(file_clock(container, track))
        decode_at_once(track)
        length = (container.duration or 0) / av.time_base  # 0 stands for "unknown" in FLV
        if not self._may_have_an_end or not length:
            in_pieces = container.format.name == "hls"
            return paced_stamps(self._connection.wait) if in_pieces else arrival_stamps(container)
        self.live = False
        log.info("%s is a recording: it plays once, at its own speed", self.name)
        return self._played(file_clock(container, track), length)

    def _recorded(self, clock: FileClock) -> Stamp:
        def stamp(picture: Decoded) -> Frame:
            return picture.frame(self._from_first(clock, picture), time.monotonic(), "file")

        return stamp

    def _played(self, clock: FileClock, length: float) -> Stamp:
        start = time.monotonic()

        def stamp(picture: Decoded) -> Frame:
            seconds = self._from_first(clock, picture)
            self.live = self.live or seconds > length + BEYOND  # the "length" was that of the first fragment
            pts = start + seconds
            self._connection.wait(pts - time.monotonic())
            return picture.frame(pts, time.monotonic(), "arrival")

        return stamp

    def _from_first(self, clock: FileClock, picture: Decoded) -> float:
        pts = clock.pts(picture.own)
        self.clock_restarts = clock.restarts
        return pts

    def _heard(self) -> bool:
        return self._connection.heard()

    def _too_late(self, opening: bool) -> StreamError:
        over_udp = self._transport == "udp" and self._is_rtsp
        advice = " UDP often does not get through: try `--transport tcp`." if over_udp else ""
        if opening:
            return ConnectionFailed(f"{self.name}: no stream within {self._open_timeout:g} s.{advice}")
        return Stalled(f"{self.name}: connected, but nothing came for {self._read_timeout:g} s.{advice}")

    def _failure(self, error: Exception, opening: bool) -> StreamError:
        if isinstance(error, TimeoutError | av.error.ExitError):
            return self._too_late(opening)
        if isinstance(error, av.error.HTTPUnauthorizedError) and wants_unknown_digest(self._address):
            return LoginUnsupported(f"{self.name}: {UNKNOWN_DIGEST}")
        if isinstance(error, av.error.InvalidDataError) and self._begins_like_mp4():
            return SourceUnreadable(f"{self.name}: {UNFINISHED}")
        for kinds, failure, words in FAILURES:
            if isinstance(error, kinds):
                return failure(f"{self.name}: {words}.")
        return ConnectionFailed(f"{self.name}: {self._words(error)}.")

    def _words(self, error: Exception) -> str:
        number = getattr(error, "errno", None)
        if number == errno.EIO:
            return "the connection broke off"
        if number == errno.EPROTONOSUPPORT and self._is_rtsp:
            other = "udp" if self._transport == "tcp" else "tcp"
            return f"it does not send over {self._transport.upper()}. Try `--transport {other}`"
        return redact(getattr(error, "strerror", None) or type(error).__name__)

    def _begins_like_mp4(self) -> bool:
        return not self._is_rtsp and begins_like_mp4(first_bytes(self._address, 12, 2.0))


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
