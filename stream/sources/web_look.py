"""What a web server says of an address before anything is read from it: one request, headers only.

Knows HTTP. Knows no video and raises nothing: where there is no answer, whoever opens the address says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from stream.sources.detached import Detached, Ended, OutOfTime
from stream.sources.redaction import redact

MAX_REDIRECTS = 5
PLAYLIST = 2**20  # bytes of a playlist that are read; a day of segments is less
PLAYLISTS = ("mpegurl",)  # application/vnd.apple.mpegurl, audio/x-mpegurl ...

T = TypeVar("T")


class _Redacting(logging.Filter):
    """The client tells every address it asks for, whole, to whoever listens."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


logging.getLogger("httpx").addFilter(_Redacting())


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to a request for an address."""

    status: int
    content_type: str = ""  # lower case, without parameters
    length: int | None = None  # bytes; None: it ends when it ends
    seekable: bool = False  # parts of it can be asked for
    playlist: str | None = None  # the text, of a playlist

    @property
    def is_refused(self) -> bool:
        return self.status >= 400


def look(address: str, timeout: float) -> Look | None:
    """None where no answer came within `timeout` seconds."""
    return within(timeout, lambda: _ask(address, timeout))


def first_bytes(address: str, count: int, timeout: float) -> bytes:
    """Of what is there, `count` or fewer."""

    def ask() -> bytes:
        client, url = open_client(address, timeout)
        with client, client.stream("GET", url, headers={"Range": f"bytes=0-{count - 1}"}) as response:
            return _beginning(response, count)

    return within(timeout, ask) or b""


def within(timeout: float, ask: Callable[[], T]) -> T | None:
    """Limits for single steps do not limit a server that sends a byte now and then, so the whole is limited."""

    def once() -> Generator[T, None, None]:
        yield ask()

    asking = Detached(once, "look at an address")
    try:
        return asking.next(timeout)
    except (OutOfTime, Ended, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return None
    finally:
        asking.close()


def open_client(address: str, timeout: float) -> tuple[httpx.Client, str]:
    """A client that logs in as the address says, and the address without its login."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    login = _Login(unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    client = httpx.Client(auth=login, timeout=timeout, follow_redirects=True, max_redirects=MAX_REDIRECTS)
    return client, parts._replace(netloc=host, fragment="").geturl()


class _Login(httpx.Auth):
    """Basic or Digest, whichever the server asks for; httpx keeps it from servers that this one redirects to."""

    def __init__(self, user: str, password: str) -> None:
        self._digest = httpx.DigestAuth(user, password)
        self._basic = httpx.BasicAuth(user, password)
        self._chosen: httpx.Auth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._chosen is None:
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            asked = response.headers.get("www-authenticate", "").lower()
            self._chosen = self._digest if "digest" in asked else self._basic
        yield from self._chosen.auth_flow(request)


def _ask(address: str, timeout: float) -> Look:
    client, url = open_client(address, timeout)
    with client:
        return _look_at(client, url)


def _look_at(client: httpx.Client, url: str, may_lead_on: bool = True) -> Look:
    # GET, since many cameras know no HEAD; the body is not read, and the connection is closed.
    with client.stream("GET", url) as response:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        length = response.headers.get("content-length", "")
        is_playlist = any(name in kind for name in PLAYLISTS) or urlsplit(url).path.lower().endswith(".m3u8")
        text = (
            _beginning(response, PLAYLIST).decode("utf-8", "replace") if is_playlist and response.is_success else None
        )
        found = Look(
            status=response.status_code,
            content_type=kind,
            length=int(length) if length.isdecimal() else None,
            seekable="bytes" in response.headers.get("accept-ranges", "").lower(),
            playlist=text,
        )
    variant = _first_variant(text or "")
    return _look_at(client, urljoin(url, variant), may_lead_on=False) if variant and may_lead_on else found


def _beginning(response: httpx.Response, count: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) >= count:
            break
    return bytes(body[:count])


def _first_variant(playlist: str) -> str | None:
    """A playlist of playlists says nothing of an end; those it names do."""
    lines = [line.strip() for line in playlist.splitlines()]
    if not any(line.startswith("#EXT-X-STREAM-INF") for line in lines):
        return None
    return next((line for line in lines if line and not line.startswith("#")), None)
