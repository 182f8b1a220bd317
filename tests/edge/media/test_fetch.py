from __future__ import annotations

import itertools
from dataclasses import replace

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


def test_a_slow_download_ends() -> None:
    with pytest.raises(BadMessage, match="slow"):
        fetch(lambda request: httpx.Response(200, content=b"a"), fetch_seconds=-1)


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
