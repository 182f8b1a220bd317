"""One download over HTTP, from where its `Access` allows, bounded in time and size. Knows no pictures."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx

from edge.errors import BadMessage
from edge.media.access import Access
from stream.sources.detached import Detached, OutOfTime
from stream.sources.redaction import redact

MAX_REDIRECTS = 5
TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # of one read; the whole is bounded by the access
AS_IT_IS = {"accept-encoding": "identity"}  # a few compressed bytes may become gigabytes before anybody can count them

Resolve = Callable[[str, int], Sequence[str]]
"""A host's name and a port -> its IP addresses."""


def fetch(url: str, access: Access, *, transport: httpx.BaseTransport | None = None) -> bytes:
    """What is at the address. Raises BadMessage or AccessDenied that name the address without credentials.

    Limits for single reads do not limit a server that sends a byte now and then, nor a slow name server: the
    download runs in a thread of its own, and whoever waits for it gives up in time.
    """
    access = replace(access, fetch_seconds=min(access.fetch_seconds, access.decode_seconds))
    deadline, lines = time.monotonic() + access.fetch_seconds, _Lines()

    def download() -> Generator[bytes]:
        yield _download(url, access, deadline, lines, transport)

    downloading = Detached(download, "download")
    try:
        return downloading.next(access.fetch_seconds)
    except OutOfTime:
        raise _too_slow(url, access) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The library's own text may quote the address with its credentials; its kind says enough.
        raise BadMessage(f"{redact(url)} cannot be fetched: {type(error).__name__}.") from None
    finally:
        downloading.close()
        lines.cut()


def _download(url: str, access: Access, deadline: float, lines: _Lines, transport: httpx.BaseTransport | None) -> bytes:
    if transport is None and not access.any_host:
        transport = CheckedTransport(access)
    # Proxies of the environment are used where any host is allowed; a proxy connects to what nobody has checked.
    with httpx.Client(timeout=TIMEOUT, transport=transport, trust_env=access.any_host, headers=AS_IT_IS) as client:
        request = client.build_request("GET", url)
        for _ in range(MAX_REDIRECTS + 1):
            access.check_scheme(request.url.scheme, str(request.url))
            request.extensions = {**request.extensions, "trace": lines.trace}
            response = client.send(request, stream=True)
            try:
                if time.monotonic() > deadline:
                    raise _too_slow(url, access)
                if not response.is_redirect:
                    return _body(response, access, deadline)
                request = _next(response)
            finally:
                response.close()
    raise BadMessage(f"{redact(url)} redirects more than {MAX_REDIRECTS} times.")


class _Lines:
    """The connections of one download. Cutting them ends the read that its thread may be in."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpx for each step. Duplicates the socket, since TLS takes the first one over."""
        if event == "connection.connect_tcp.complete":
            self._sockets.append(info["return_value"].get_extra_info("socket").dup())
            if self._is_cut:
                self.cut()

    def cut(self) -> None:
        self._is_cut = True
        for line in self._sockets:
            with line, suppress(OSError):  # it is cut already
                line.shutdown(socket.SHUT_RDWR)


def resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedTransport(httpx.BaseTransport):
    """Connects to the very addresses that were checked: a name looked up again may mean another machine by then."""

    def __init__(self, access: Access, inner: httpx.BaseTransport | None = None, resolve: Resolve = resolve) -> None:
        self._access, self._resolve = access, resolve
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        failure: Exception = httpx.ConnectError("the host has no address", request=request)
        for ip in self._checked(request):
            try:
                return self._inner.handle_request(_at(ip, request))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    def close(self) -> None:
        self._inner.close()

    def _checked(self, request: httpx.Request) -> Sequence[str]:
        url = request.url
        self._access.check_host(url.host)
        try:
            found = self._resolve(url.host, url.port or {"http": 80, "https": 443}[url.scheme])
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(type(error).__name__, request=request) from None
        for ip in found:
            self._access.check_ip(ip, url.host)
        return found


def _at(ip: str, request: httpx.Request) -> httpx.Request:
    """The same request to an IP address: the header and the certificate still say the host's name."""
    name = request.url.raw_host.decode("ascii")
    extensions = {**request.extensions, "sni_hostname": name}
    return httpx.Request(request.method, request.url.copy_with(host=ip), headers=request.headers, extensions=extensions)


def _body(response: httpx.Response, access: Access, deadline: float) -> bytes:
    where = redact(str(response.url))
    if response.status_code != httpx.codes.OK:
        raise BadMessage(f"{where} answers {response.status_code} {response.reason_phrase}. Check the address.")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadMessage(f"{where} is sent compressed ({encoding}), which was not asked for. Send the file itself.")
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        access.check_bytes(len(body), where)
        if time.monotonic() > deadline:
            raise _too_slow(str(response.url), access)
    return bytes(body)


def _too_slow(url: str, access: Access) -> BadMessage:
    return BadMessage(
        f"{redact(url)} is too slow: not all of it came in {access.fetch_seconds:g} s. Send the file itself."
    )


def _next(response: httpx.Response) -> httpx.Request:
    """Where a redirect leads, over the same scheme or from http to https."""
    request = response.next_request
    before = response.url.scheme
    if request is None or request.url.scheme not in {before, "https"}:
        raise BadMessage(f"{redact(str(response.url))} redirects away from {before}. Give the final address.")
    return request
