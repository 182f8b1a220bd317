"""Who may speak to the daemon: tokens, and no web page of somebody else's.

A browser sends a stranger's page's requests to any address, this machine's too, so that being reachable by oneself
alone is no protection: what names another host, or comes from another page, is refused before anything reads it.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Collection
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "edge_token"  # what the page is given when it is told the token: pictures cannot send a header
OPEN = frozenset({"/healthz", "/readyz"})  # for supervisors, which have no token; they tell nothing of a camera
PAGE = frozenset({"/", "/login"})  # without a token, the page asks for it
READING = frozenset({"GET", "HEAD"})
MAX_BODY = 64 * 2**20  # bytes; a picture in a message is a third larger than its file


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Args:
        token: may do all; None: whoever reaches the daemon may.
        read_token: may look and ask, and change nothing.
        hosts: what a request may name as its host, beside this machine's own names.
    """

    token: str | None = None
    read_token: str | None = None
    hosts: frozenset[str] = frozenset()

    def may(self, given: str | None, is_reading: bool) -> bool:
        """In the same time for every wrong token."""
        if self.token is None:
            return True
        is_admin = same(given, self.token)
        is_reader = self.read_token is not None and same(given, self.read_token)
        return is_admin or (is_reader and is_reading)

    def knows(self, host: str | None) -> bool:
        name = hostname(f"//{host or ''}")
        return is_loopback(name) or name in self.hosts


class Guard:
    """Stands before an ASGI application."""

    def __init__(self, app: ASGIApp, rules: Rules, asking: Collection[str] = ()) -> None:
        self._app, self._rules = app, rules
        self._asking = frozenset(asking)  # paths that are written to and change nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := self._refusal(scope["method"], scope["path"], headers):
            await refuse(send, *refusal)
            return
        await self._app(scope, _bounded(receive), send)

    def _refusal(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str, str] | None:
        if not self._rules.knows(headers.get("host")):
            return (
                421,
                "EDGE_WRONG_HOST",
                "the host that the request names is not this daemon's (--allow-host adds one).",
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "EDGE_WRONG_ORIGIN", "the request comes from another site's page."
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BODY:
            return 413, "EDGE_TOO_LARGE", f"the request has {length} bytes; {MAX_BODY} are the most."
        if path in OPEN or path in PAGE or self._rules.may(_given(headers), self._is_reading(method, path)):
            return None
        return 401, "EDGE_NOT_ALLOWED", "this needs a token: Authorization: Bearer ..."

    def _is_reading(self, method: str, path: str) -> bool:
        return method in READING or path in self._asking or path.endswith("/ask")


class TooLarge(Exception):
    """A body that is longer than it said, or than is taken."""


def same(given: str | None, token: str) -> bool:
    return hmac.compare_digest((given or "").encode(), token.encode())


def hostname(address: str) -> str:
    """Empty for an address that is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def is_loopback(name: str) -> bool:
    if name in ("localhost", ""):
        return name != ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _given(headers: dict[str, str]) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token:
        return token.strip()
    cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return None if cookie is None else cookie.value


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise TooLarge
        return message

    return bounded


async def refuse(send: Send, status: int, code: str, said: str) -> None:
    body = json.dumps({"error": {"message": said, "type": "refused", "code": code}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
