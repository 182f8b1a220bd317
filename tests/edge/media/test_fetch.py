from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edge.errors import AccessDenied, BadMessage
from edge.media.access import TRUSTED

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
fetching = pytest.importorskip("edge.media.fetch")


def fetch(handler, url: str = "https://user:secret@host/a.png?token=secret", **settings) -> bytes:
    return fetching.fetch(url, replace(TRUSTED, **settings), transport=httpx.MockTransport(handler))


def test_what_is_there_is_given() -> None:
    assert fetch(lambda request: httpx.Response(200, content=b"picture")) == b"picture"


def redirect(*addresses: str):
    steps = iter(addresses)
    return lambda request: next(
        (httpx.Response(302, headers={"location": step}) for step in steps),
        httpx.Response(200, content=b"found"),
    )


@pytest.mark.parametrize("address", ["/b.png", "https://other/b.png"])
def test_a_redirect_is_followed(address: str) -> None:
    assert fetch(redirect(address)) == b"found"


def test_a_redirect_may_become_safer() -> None:
    assert fetch(redirect("https://host/"), "http://host/") == b"found"


def fails(request):
    raise httpx.ConnectError("no route to https://user:secret@host", request=request)


BROKEN = {
    "not found": (lambda request: httpx.Response(404), "404"),
    "less safe": (redirect("http://host/"), "redirects away"),
    "local file": (redirect("file:///etc/passwd"), "redirects away|cannot be fetched"),
    "round and round": (redirect(*itertools.repeat("/again", 20)), "more than 5"),
    "unreachable": (fails, "ConnectError"),
    "large": (lambda request: httpx.Response(200, content=bytes(11)), "larger"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_failed_download_is_named_without_secrets(name: str) -> None:
    handler, match = BROKEN[name]

    with pytest.raises((BadMessage, AccessDenied), match=match) as caught:
        fetch(handler, max_bytes=10)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("limit", ["fetch_seconds", "decode_seconds"])
def test_a_slow_download_ends(limit: str) -> None:
    with pytest.raises(BadMessage, match="slow"):
        fetch(lambda request: httpx.Response(200, content=b"a"), **{limit: -1})


@pytest.mark.parametrize("url", ["http://", "http://host:port/"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(BadMessage, match="cannot be fetched"):
        fetching.fetch(url, TRUSTED)


def test_a_picture_may_come_from_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from PIL import Image

    from edge.media.pictures import read_picture

    file = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), 77, np.uint8)).save(file, "png")
    monkeypatch.setattr(fetching, "fetch", lambda url, access: file.getvalue())

    assert (read_picture("HTTP://host/a.png") == 77).all()


@pytest.mark.parametrize("encoding", ["gzip", "deflate, br", "GZIP"])
def test_compressed_bytes_are_refused_before_they_are_unpacked(encoding: str) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    asked = []

    def answer(request):
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200, headers={"content-encoding": encoding}, content=iter([bomb]))

    with pytest.raises(BadMessage, match=f"compressed .{encoding.lower()}"):
        fetch(answer, max_bytes=len(bomb))
    assert asked == ["identity"]


def test_redirects_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=10)  # seconds, at each look
    asked = []
    monkeypatch.setattr(fetching, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    leads_on = redirect(*itertools.repeat("/again", 20))

    with pytest.raises(BadMessage, match="slow"):
        fetch(lambda request: asked.append(request) or leads_on(request), fetch_seconds=15)
    assert len(asked) == 2


@pytest.fixture
def drips() -> Iterator[tuple[str, threading.Event]]:
    """A server that sends one header without end, and an event: its client has hung up."""
    hung_up = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
            connection.settimeout(60)
            connection.recv(1)
        hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", hung_up
        thread.join(60)


def test_a_server_that_never_ends_its_headers_is_given_up_and_hung_up_on(drips) -> None:
    url, hung_up = drips

    with pytest.raises(BadMessage, match=r"too slow: not all of it came in 0\.5 s"):
        fetching.fetch(url, replace(TRUSTED, fetch_seconds=0.5))
    assert hung_up.wait(5)  # long before the client's own limit for a read
