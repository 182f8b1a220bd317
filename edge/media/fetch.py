"""One download over HTTP, bounded in time and size. Knows no pictures."""

from __future__ import annotations

import time

import httpx

from edge.errors import BadMessage
from stream.sources.redaction import redact

MAX_BYTES = 64 * 2**20
MAX_REDIRECTS = 5
MAX_SECONDS = 60.0  # in all; the timeouts below are for one read
TIMEOUT = httpx.Timeout(10.0, connect=5.0)


def fetch(
    url: str,
    *,
    transport: httpx.BaseTransport | None = None,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> bytes:
    """What is at the address. Raises BadMessage that names the address without credentials."""
    deadline = time.monotonic() + max_seconds
    try:
        with httpx.Client(timeout=TIMEOUT, transport=transport) as client:
            request: httpx.Request | None = client.build_request("GET", url)
            for _ in range(MAX_REDIRECTS + 1):
                assert request is not None
                response = client.send(request, stream=True)
                try:
                    if not response.is_redirect:
                        return _body(response, max_bytes, deadline)
                    request = _next(response)
                finally:
                    response.close()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The library's own text may quote the address with its credentials; its kind says enough.
        raise BadMessage(f"{redact(url)} cannot be fetched: {type(error).__name__}.") from None
    raise BadMessage(f"{redact(url)} redirects more than {MAX_REDIRECTS} times.")


def _body(response: httpx.Response, max_bytes: int, deadline: float) -> bytes:
    where = redact(str(response.url))
    if response.status_code != httpx.codes.OK:
        raise BadMessage(f"{where} answers {response.status_code} {response.reason_phrase}. Check the address.")
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise BadMessage(f"{where} is larger than {max_bytes / 2**20:g} MB. Send a smaller file.")
        if time.monotonic() > deadline:
            raise BadMessage(f"{where} is too slow: {len(body)} bytes in the time allowed. Send the file itself.")
    return bytes(body)


def _next(response: httpx.Response) -> httpx.Request:
    """Where a redirect leads, over the same scheme or from http to https."""
    request = response.next_request
    before = response.url.scheme
    if request is None or request.url.scheme not in {before, "https"}:
        raise BadMessage(f"{redact(str(response.url))} redirects away from {before}. Give the final address.")
    return request
