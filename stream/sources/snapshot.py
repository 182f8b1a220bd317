"""A camera on the web that gives one picture each time it is asked (`.../snapshot.jpg`): asked again and again.

Knows HTTP. A picture that has not changed is given again, marked as held. Does not reconnect: see reconnect.py.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import httpx

from stream.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    SourceNotFound,
    SourceUnreadable,
    Stalled,
    StreamError,
)
from stream.frame import Frame
from stream.sources.connection import Connection, Progress
from stream.sources.picture import decode
from stream.sources.redaction import redact
from stream.sources.web_look import open_client

MAX_BYTES = 64 * 2**20  # of one picture
CONDITIONS = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
REFUSED: dict[int, tuple[type[StreamError], str]] = {
    401: (AuthenticationFailed, "the server wants another user or password"),
    403: (AuthenticationFailed, "the server wants another user or password"),
    404: (SourceNotFound, "the server is there, but it has nothing under this path"),
    410: (SourceNotFound, "the server is there, but it has nothing under this path any more"),
}
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "nothing listens there (connection refused)"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted here. Name a file that holds it in SSL_CERT_FILE"),
    (socket.gaierror, "no host of this name is known"),
    (httpx.TooManyRedirects, "it leads from address to address without end"),
)


class SnapshotSource:
    """Live: pts are seconds of this machine's monotonic clock, when the picture was asked for.

    Asking is even and answers are not: with the times of the answers, two pictures asked for in neighbouring
    slots of the sampling could fall into one.
    """

    live = True
    can_be_lost = True

    def __init__(
        self,
        address: str,
        *,
        fps: float = 2.0,  # how often it is asked, in times a second
        open_timeout: float = 10.0,  # seconds until the first picture
        read_timeout: float = 5.0,  # seconds for each one after it
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps}: a camera is asked for a positive number of pictures per second.")
        self.name = redact(address)
        self.codec = "jpeg"
        self.corrupt = 0  # pictures that could not be decoded
        self._address = address
        self._period = 1 / fps
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._connection = Connection(
            self.name,
            self._read,
            self._too_late,
            open_timeout=open_timeout,
            read_timeout=read_timeout + self._period,
            silent_means_still=False,  # nobody looked between two pictures
            why_undecoded="what the camera answers cannot be decoded. Does the address show a picture in a browser?",
        )

    @property
    def progress(self) -> Progress:
        return self._connection.progress

    def __iter__(self) -> Iterator[Frame]:
        return self._connection.frames()

    def close(self) -> None:
        """Returns at once."""
        self._connection.close()

    def _too_late(self, opening: bool) -> StreamError:
        if opening:
            return ConnectionFailed(f"{self.name}: no picture within {self._open_timeout:g} s.")
        return Stalled(f"{self.name}: connected, but no picture came within {self._read_timeout:g} s.")

    # In the connection's own thread

    def _read(self) -> Generator[Frame | None, None, None]:
        opening = True
        try:
            client, url = open_client(self._address, max(self._open_timeout, self._read_timeout))
            with client:
                for frame in self._poll(_Snapshots(client, url, self.name)):
                    if opening:
                        yield None
                        opening = False
                    yield frame
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self._failure(error, opening) from None

    def _poll(self, snapshots: _Snapshots) -> Iterator[Frame | None]:
        due = time.monotonic()
        frame: Frame | None = None
        while not self._connection.closed.wait(max(0.0, due - time.monotonic())):
            picture = snapshots.ask()
            now = time.monotonic()
            if picture is not None:
                frame = self._decoded(picture, due, now)  # None if broken: what is broken and unchanged is no picture
            elif frame is not None:
                frame = replace(frame, pts=due, captured=now, held=True)
            yield frame
            due = max(due + self._period, now)

    def _decoded(self, picture: bytes, asked: float, now: float) -> Frame | None:
        try:
            return Frame(decode(io.BytesIO(picture), self.name), asked, now, "arrival")
        except SourceUnreadable:
            self.corrupt += 1  # half a picture may be followed by a whole one
            return None

    def _failure(self, error: Exception, opening: bool) -> StreamError:
        if isinstance(error, httpx.TimeoutException):
            return self._too_late(opening)
        return ConnectionFailed(f"{self.name}: {_reason(error)}.")


def _reason(error: BaseException) -> str:
    """From the cause of causes; the library's own text may quote the address with its credentials."""
    cause: BaseException | None = error
    while cause is not None:
        for kind, words in REASONS:
            if isinstance(cause, kind):
                return words
        cause = cause.__cause__ or cause.__context__
    return f"no picture can be fetched ({type(error).__name__})"


class _Snapshots:
    """One address asked again and again, over one connection; an unchanged picture is not sent again."""

    def __init__(self, client: httpx.Client, url: str, name: str) -> None:
        self._client = client
        self._url = url
        self._name = name
        self._newest = b""
        self._validators: dict[str, str] = {}  # headers that ask for the picture only if it is another one

    def ask(self) -> bytes | None:
        """The picture; None where it is what it was."""
        with self._client.stream("GET", self._url, headers=self._validators) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED:
                return None
            self._check(answer)
            picture = self._body(answer)
        self._validators = {ask: answer.headers[name] for ask, name in CONDITIONS if name in answer.headers}
        before, self._newest = self._newest, picture
        return None if picture == before else picture

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            otherwise = (ConnectionFailed, f"the server answers {answer.status_code} {answer.reason_phrase}")
            failure, words = REFUSED.get(answer.status_code, otherwise)
            raise failure(f"{self._name}: {redact(words)}.")

    def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise SourceUnreadable(f"{self._name}: the picture has no end ({len(body) / 2**20:.0f} MB so far).")
        return bytes(body)
