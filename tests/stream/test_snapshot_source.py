"""A camera that gives one picture each time it is asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from stream.errors import AuthenticationFailed, ConnectionFailed, SourceNotFound, Stalled, StreamError
from stream.frame import Frame
from stream.sampler import FrameSampler
from stream.sources.address import open_source
from stream.sources.reconnect import Backoff, Reconnecting
from stream.sources.snapshot import SnapshotSource

Serve = Callable[[Any], str]
FAST = 50.0  # asks a second; nothing below waits for a slower clock


def jpeg(shade: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))[1])


def showing(
    pictures: list[bytes], *, validators: bool = False, status: int = 200, asked: list[dict[str, str]] | None = None
) -> Any:
    """A handler that gives the pictures one after the other, and the last one ever after."""
    shown: list[int] = []
    connections: list[object] = []

    class Camera(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the connection is kept

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(dict(self.headers))
            picture = pictures[min(len(shown), len(pictures) - 1)]
            tag = f'"{hash(picture)}"'
            shown.append(len(shown))
            if validators and self.headers.get("if-none-match") == tag:
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(status)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            if validators:
                self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(picture)

        def setup(self) -> None:
            connections.append(self)
            super().setup()

        def log_message(self, format: str, *args: object) -> None:
            pass

    Camera.connections = connections  # type: ignore[attr-defined]
    return Camera


def take(source: SnapshotSource, count: int) -> list[Frame]:
    frames: Iterator[Frame] = iter(source)
    taken = [next(frames) for _ in range(count)]
    source.close()
    return taken


def shade(frame: Frame) -> int:
    return round(float(frame.pixels.mean()))


def test_a_camera_is_asked_again_and_again_over_one_connection(serve: Serve) -> None:
    camera = showing([jpeg(shade) for shade in (10, 60, 110, 160)])
    frames = take(SnapshotSource(f"{serve(camera)}/now.jpg", fps=FAST), 4)
    assert [shade(frame) for frame in frames] == pytest.approx([10, 60, 110, 160], abs=2)
    assert {(frame.pixels.shape, frame.clock, frame.held) for frame in frames} == {((48, 64, 3), "arrival", False)}
    assert len(camera.connections) == 1


def test_every_slot_of_the_sampling_gets_its_own_picture(serve: Serve) -> None:
    source = open_source(f"{serve(showing([jpeg(10 * index) for index in range(12)]))}/now.jpg", poll_fps=FAST)
    sampler = FrameSampler(FAST, (28, 28))
    frames = iter(source)
    refused = []
    for _ in range(12):
        sampler.push(next(frames))
        refused.append(sampler.refused)
    source.close()
    assert source.live and set(refused) == {None}


@pytest.mark.parametrize("validators", [True, False])
def test_a_picture_that_has_not_changed_is_held(serve: Serve, validators: bool) -> None:
    asked: list[dict[str, str]] = []
    camera = showing([jpeg(10), jpeg(10), jpeg(10), jpeg(90)], validators=validators, asked=asked)
    frames = take(SnapshotSource(f"{serve(camera)}/now.jpg", fps=FAST), 5)
    assert [frame.held for frame in frames] == [False, True, True, False, True]
    assert [shade(frame) for frame in frames] == pytest.approx([10, 10, 10, 90, 90], abs=2)
    assert frames[0].pts < frames[1].pts < frames[2].pts
    assert ("If-None-Match" in asked[1]) is validators


def test_what_is_held_fills_its_slots_and_counts_as_no_frame(serve: Serve) -> None:
    source = SnapshotSource(f"{serve(showing([jpeg(10)]))}/now.jpg", fps=FAST)
    sampler = FrameSampler(FAST, (28, 28))
    groups = [group for frame in take(source, 9) for group in sampler.push(frame)]
    assert len(groups) >= 3
    assert sum(group.num_frames for group in groups) <= 2


def test_the_first_picture_may_take_longer_than_the_others(serve: Serve) -> None:
    camera = showing([jpeg(10)])

    class Slow(camera):  # type: ignore[misc, valid-type]
        def do_GET(self) -> None:
            threading.Event().wait(0.4)
            super().do_GET()

    source = SnapshotSource(f"{serve(Slow)}/now.jpg", fps=FAST, open_timeout=20.0, read_timeout=0.1)
    (first,) = take(source, 1)
    assert shade(first) == pytest.approx(10, abs=2)


def test_half_a_picture_is_passed_over(serve: Serve) -> None:
    broken = jpeg(60)[:-200]
    source = SnapshotSource(f"{serve(showing([jpeg(10), broken, broken, jpeg(90)]))}/now.jpg", fps=FAST)
    assert [shade(frame) for frame in take(source, 2)] == pytest.approx([10, 90], abs=2)
    assert source.corrupt == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, SourceNotFound),
        (503, ConnectionFailed),
    ],
)
def test_every_refusal_has_its_name(serve: Serve, status: int, error: type[StreamError]) -> None:
    address = serve(showing([b"no"], status=status)).replace("://", "://viewer:s3cr3t@")
    with pytest.raises(error) as caught:
        next(iter(SnapshotSource(f"{address}/now.jpg?token=s3cr3t")))
    assert "s3cr3t" not in str(caught.value)


def test_a_failure_to_connect_says_why() -> None:
    with pytest.raises(ConnectionFailed, match="no host of this name"):
        next(iter(SnapshotSource("http://viewer:s3cr3t@no-such-host.invalid/now.jpg")))
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"http://127.0.0.1:{gone.getsockname()[1]}/now.jpg"
    with pytest.raises(ConnectionFailed, match="connection refused"):
        next(iter(SnapshotSource(address)))


def test_a_certificate_that_is_not_trusted_is_named() -> None:
    untrusted = httpx.ConnectError("http://viewer:s3cr3t@camera/")
    untrusted.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    source = SnapshotSource("https://camera/now.jpg")
    failure = source._failure(untrusted, opening=True)
    assert "SSL_CERT_FILE" in str(failure) and "s3cr3t" not in str(failure)


def test_a_camera_that_keeps_silent_is_a_stall_and_comes_back(serve: Serve) -> None:
    released = threading.Event()

    class Silent(showing([jpeg(10), jpeg(60), jpeg(110)])):  # type: ignore[misc]
        count = 0

        def do_GET(self) -> None:
            Silent.count += 1
            if Silent.count == 2:
                released.wait(30)
            super().do_GET()

    address = f"{serve(Silent)}/now.jpg"
    source = Reconnecting(
        lambda: SnapshotSource(address, fps=FAST, read_timeout=0.2), name="camera", backoff=Backoff(0.01, 0.01)
    )
    frames = iter(source)
    while next(frames) and not source.reconnects:
        pass
    source.close()
    released.set()
    assert source.causes == {Stalled.code: 1}


def test_close_ends_the_waiting_for_the_next_picture(serve: Serve) -> None:
    source = SnapshotSource(f"{serve(showing([jpeg(10)]))}/now.jpg", fps=0.001)
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
