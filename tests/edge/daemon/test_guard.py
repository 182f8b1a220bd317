"""Who may speak to a daemon, and from where."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.daemon.guard import MAX_BODY, Guard, Rules

LOCKED = Rules(token="admin-secret", read_token="look-secret", hosts=frozenset({"camera-box.local"}))


async def app(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(rules: Rules, method: str = "GET", path: str = "/v1/streams", **headers: str) -> int:
    return asked(rules, method, path, **headers)[0]


def asked(rules: Rules, method: str = "GET", path: str = "/v1/streams", **headers: str) -> tuple[int, bytes]:
    headers = {"host": "127.0.0.1:8765", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(app, rules, asking=("/v1/chat/completions",))(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    "method, path, token, status",
    [
        ("GET", "/v1/streams", None, 401),
        ("GET", "/v1/streams", "wrong", 401),
        ("GET", "/v1/streams", "look-secret", 200),
        ("GET", "/v1/streams", "admin-secret", 200),
        ("POST", "/v1/streams", "look-secret", 401),
        ("POST", "/v1/streams", "admin-secret", 200),
        ("DELETE", "/v1/streams/front", "look-secret", 401),
        ("DELETE", "/v1/streams/front", "admin-secret", 200),
        ("POST", "/v1/streams/front/ask", "look-secret", 200),
        ("POST", "/v1/chat/completions", "look-secret", 200),
        ("GET", "/metrics", None, 401),
        ("GET", "/openapi.json", None, 401),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
        ("GET", "/", None, 200),
    ],
)
def test_tokens_open_what_they_are_for(method: str, path: str, token: str | None, status: int) -> None:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    assert ask(LOCKED, method, path, **headers) == status
    cookie = {} if token is None else {"cookie": f"other=1; edge_token={token}"}
    assert ask(LOCKED, method, path, **cookie) == status


def test_without_a_token_whoever_reaches_it_may() -> None:
    assert ask(Rules(), "DELETE") == 200


@pytest.mark.parametrize(
    "host, is_known",
    [
        ("127.0.0.1:8765", True), ("localhost", True), ("[::1]:8765", True), ("camera-box.local:8765", True),
        ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("192.168.1.5", False),
        ("localhost.evil.example:8765", False), ("[", False),
    ],
)  # fmt: skip
def test_a_host_that_is_not_ours_is_refused(host: str, is_known: bool) -> None:
    """What rebinding a name to this machine would send."""
    assert (ask(Rules(hosts=LOCKED.hosts), host=host) == 200) is is_known


@pytest.mark.parametrize(
    "origin, is_ours",
    [
        ("http://127.0.0.1:8765", True),
        ("http://evil.example", False),
        ("null", False),
        ("http://127.0.0.1:9999", False),
    ],
)
def test_another_sites_page_is_refused(origin: str, is_ours: bool) -> None:
    assert (ask(Rules(), "POST", origin=origin) == 200) is is_ours


@pytest.mark.parametrize("length", [str(MAX_BODY + 1), "-1", "many", "1e9", "²"])
def test_lengths_that_are_none_or_too_great_are_refused(length: str) -> None:
    assert ask(Rules(), "POST", content_length=length) == 413


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
def test_no_header_opens_it_or_breaks_it(value: str) -> None:
    for name in ("authorization", "cookie", "host", "origin"):
        status, body = asked(LOCKED, "POST", **{name: value})
        assert status in (401, 403, 421)
        assert json.loads(body)["error"]["message"]
        assert "secret" not in body.decode()
