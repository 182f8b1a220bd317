"""A camera on loopback that does everything wrong, and web servers beside it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

from stream.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    LoginUnsupported,
    SourceNotFound,
    Stalled,
)
from stream.frame import Frame, Group
from stream.rtsp_server import RtspServer, with_login
from stream.session import Session
from stream.sources.network import NetworkSource
from stream.sources.reconnect import Backoff, Reconnecting, Status
from stream.testing import FakeEngine

SECRET = "s3cr3t"
ShowsNothing = Callable[..., None]
AT_ONCE = Backoff(first=0.01, longest=0.05)


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    with RtspServer(clip) as server:
        yield server


def take(frames: Iterator[Frame], count: int) -> list[Frame]:
    return [next(frames) for _ in range(count)]


def camera(server: RtspServer, **options: Any) -> Reconnecting:
    return Reconnecting(
        lambda: NetworkSource(server.url_with_login, **options), name="camera", backoff=AT_ONCE, patient=True
    )


def wait_for_status(source: Reconnecting, wanted: Callable[[Status], bool]) -> None:
    """Reading goes on in a thread of its own; this looks at what a user interface would show."""
    deadline = time.monotonic() + 30
    while not wanted(source.status):
        assert time.monotonic() < deadline, source.status
        time.sleep(0.01)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_gives_frames_by_their_arrival(server: RtspServer, transport: Literal["tcp", "udp"]) -> None:
    source = NetworkSource(server.url, transport=transport)
    frames = take(iter(source), 30)
    assert source.live
    for before, after in pairwise(frames):
        assert before.pts <= after.pts <= after.captured
        assert before.captured <= after.captured
    assert {(frame.pixels.shape, frame.clock) for frame in frames} == {((120, 160, 3), "arrival")}
    source.close()


def test_time_goes_on_as_the_camera_counts_it(server: RtspServer) -> None:
    source = NetworkSource(server.url)
    times = [frame.pts for frame in take(iter(source), 40)]
    source.close()
    steps = sorted(b - a for a, b in pairwise(times))
    assert steps[len(steps) // 2] == pytest.approx(1 / 25, abs=1e-3)


def test_frames_that_wait_for_others_come_in_order(media: Path) -> None:
    with RtspServer(media / "bframes.mp4") as server:
        source = NetworkSource(server.url)
        brightness = [int(frame.pixels.mean()) for frame in take(iter(source), 20)]
        source.close()
    assert brightness == sorted(brightness)


def test_a_camera_is_told_goodbye_before_the_iteration_ends(server: RtspServer) -> None:
    for viewers in range(1, 4):
        source = NetworkSource(server.url)
        frames = iter(source)
        take(frames, 3)
        source.close()
        assert list(frames) == []
        assert server.wait_for_viewers(0, timeout=20)
        assert server.num_goodbyes == viewers


def test_a_process_that_closes_and_ends_has_said_goodbye(server: RtspServer) -> None:
    program = (
        "from stream.sources.address import open_source\n"
        f"source = open_source({server.url!r})\n"
        "for frame in source:\n"
        "    source.close()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert server.wait_for_viewers(0, timeout=20)
    assert server.num_goodbyes == 1


def test_who_joins_between_keyframes_waits_for_the_next_one(clip: Path) -> None:
    with RtspServer(clip, join=1) as server:  # a keyframe every fifth picture
        source = NetworkSource(server.url)
        first = next(iter(source))
        source.close()
    assert round(float(first.pixels.mean())) == pytest.approx(20 + 8 * 5, abs=2)  # not one of the four before it
    assert source.progress.first_data is not None and source.progress.first_data < first.captured


# Logins


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize("password", [SECRET, f"{SECRET}@:/?#& ü%40"])
def test_the_right_password_opens(clip: Path, auth: Literal["basic", "digest"], password: str) -> None:
    with RtspServer(clip, user="viewer", password=password, auth=auth) as server:
        source = NetworkSource(server.url_with_login)
        assert next(iter(source)).pixels.shape == (120, 160, 3)
        source.close()


def test_a_raw_at_sign_in_a_password_is_understood(clip: Path) -> None:
    with RtspServer(clip, user="viewer", password=f"{SECRET}@home") as server:
        source = NetworkSource(server.url.replace("://", f"://viewer:{SECRET}@home@"))
        assert next(iter(source)).pixels.shape == (120, 160, 3)
        source.close()


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_wrong_password_is_refused_and_not_shown(
    clip: Path, auth: Literal["basic", "digest"], capfd: pytest.CaptureFixture[str], shows_nothing: ShowsNothing
) -> None:
    with RtspServer(clip, user="viewer", password="right", auth=auth) as server:
        source = NetworkSource(with_login(server.url, "viewer", SECRET))
        with pytest.raises(AuthenticationFailed) as caught:
            next(iter(source))
        with pytest.raises(AuthenticationFailed):
            next(iter(NetworkSource(server.url)))
    shows_nothing(caught.value, source.name, "".join(capfd.readouterr()))


def test_a_login_that_cannot_be_given_is_not_blamed_on_the_password(clip: Path, shows_nothing: ShowsNothing) -> None:
    with (
        RtspServer(clip, user="viewer", password=SECRET, auth="digest-sha256") as server,
        pytest.raises(LoginUnsupported, match="SHA-256") as caught,
    ):
        next(iter(NetworkSource(server.url_with_login)))
    shows_nothing(caught.value)


@pytest.mark.parametrize("error", [ConnectionRefusedError, ConnectionResetError, TimeoutError, ssl.SSLError])
def test_a_camera_that_takes_no_second_connection_after_a_wrong_login_is_refused_still(
    clip: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("stream.sources.challenge.socket.create_connection", refuse)
    with RtspServer(clip, user="viewer", password=SECRET) as server, pytest.raises(AuthenticationFailed):
        next(iter(NetworkSource(with_login(server.url, "viewer", "wrong"))))


# Failures to connect


def test_no_server_is_refused_at_once(server: RtspServer, shows_nothing: ShowsNothing) -> None:
    server.refuse()
    with pytest.raises(ConnectionFailed, match="nothing listens") as caught:
        next(iter(NetworkSource(with_login(server.url, "viewer", SECRET))))
    shows_nothing(caught.value)


def test_a_host_without_an_address_is_a_failure_to_connect(shows_nothing: ShowsNothing) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        next(iter(NetworkSource(f"rtsp://viewer:{SECRET}@no-such-host.invalid/live")))
    shows_nothing(caught.value)


def test_a_wrong_path_is_not_found(server: RtspServer) -> None:
    with pytest.raises(SourceNotFound, match="path"):
        next(iter(NetworkSource(server.url.replace("/live", "/other"))))


@pytest.mark.parametrize(("wanted", "sent"), [("tcp", "udp"), ("udp", "tcp")])
def test_a_camera_that_sends_the_other_way_only_says_which(
    clip: Path, wanted: Literal["tcp", "udp"], sent: Literal["tcp", "udp"]
) -> None:
    with RtspServer(clip, transports=[sent]) as server:
        with pytest.raises(ConnectionFailed, match=f"--transport {sent}"):
            next(iter(NetworkSource(server.url, transport=wanted)))
        source = NetworkSource(server.url, transport=sent)
        assert next(iter(source)).pixels.shape == (120, 160, 3)
        source.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_accepts_and_keeps_silent_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = NetworkSource(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/live", open_timeout=0.3)
        with pytest.raises(ConnectionFailed, match=r"0\.3 s"):
            next(iter(source))


def test_close_ends_even_a_connection_in_the_making() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = NetworkSource(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live", open_timeout=3)
        reader = threading.Thread(target=lambda: list(source), daemon=True)
        reader.start()
        connection, _ = silent.accept()
        start = time.monotonic()
        source.close()
        reader.join(20)
        assert not reader.is_alive()
        assert time.monotonic() - start < 2  # not the three seconds of the native read
        connection.close()


# A camera that is lost and comes back


def test_a_stall_is_noticed_within_the_read_timeout(server: RtspServer) -> None:
    frames = iter(NetworkSource(server.url, read_timeout=0.4))
    take(frames, 5)
    server.stall()
    with pytest.raises(Stalled, match=r"0\.4 s"):
        for last in frames:
            seen = last.captured
    assert time.monotonic() - seen < 0.4 + 1


def test_a_dropped_connection_ends_the_stream(server: RtspServer) -> None:
    frames = iter(NetworkSource(server.url))
    take(frames, 5)
    server.drop()
    assert len(list(frames)) < 25


def test_a_camera_that_drops_the_connection_comes_back(server: RtspServer) -> None:
    source = camera(server)
    frames = iter(source)
    for round in range(1, 4):
        take(frames, 5)
        server.drop()
        while source.reconnects < round:
            next(frames)
    source.close()
    assert source.causes == {"STREAM_ENDED": 3}


def read_until_back(
    source: Reconnecting, frames: Iterator[Frame], code: str, repair: Callable[[], object]
) -> tuple[Frame, Frame]:
    """Repairs the server once the source shows this code; the last frame before and the first one after."""

    def watch() -> None:
        wait_for_status(source, lambda status: status.code == code)
        repair()

    repairing = threading.Thread(target=watch, daemon=True)
    repairing.start()
    before = next(frames)
    while (after := next(frames)) and not source.reconnects:
        before = after
    repairing.join(30)
    return before, after


def test_a_camera_that_stalled_comes_back(server: RtspServer) -> None:
    source = camera(server, read_timeout=0.3, open_timeout=2)
    frames = iter(source)
    take(frames, 5)
    server.stall()
    before, after = read_until_back(source, frames, "STREAM_TIMEOUT", server.resume)
    source.close()
    assert after.pts > before.pts
    assert source.causes == {"STREAM_TIMEOUT": 1}


def test_a_camera_that_refuses_for_a_while_comes_back_with_a_gap(server: RtspServer) -> None:
    source = camera(server)
    frames = iter(source)
    take(frames, 5)
    server.refuse()
    server.drop()
    before, after = read_until_back(source, frames, "STREAM_CONNECTION_FAILED", lambda: server.refuse(False))
    source.close()
    assert after.pts - before.pts == pytest.approx(after.captured - before.captured, abs=0.5)
    assert after.pts > before.pts


def test_a_camera_that_restarts_with_another_size_goes_on(server: RtspServer, large_clip: Path) -> None:
    source = camera(server)
    frames = iter(source)
    take(frames, 5)
    server.switch(large_clip)
    server.restart()
    while source.reconnects == 0:
        shape = next(frames).pixels.shape
    source.close()
    assert shape == (160, 240, 3)


def test_a_change_of_size_in_the_middle_is_passed_on(server: RtspServer, large_clip: Path) -> None:
    source = NetworkSource(server.url)
    frames = iter(source)
    take(frames, 5)
    server.switch(large_clip)
    shapes = [frame.pixels.shape[:2] for frame in take(frames, 40)]
    source.close()
    changes = [shape for shape, before in zip(shapes, [None, *shapes], strict=False) if shape != before]
    assert changes == [(120, 160), (160, 240)]


def test_nothing_is_left_behind(server: RtspServer) -> None:
    threads = threading.active_count()
    for _ in range(5):
        source = NetworkSource(server.url)
        take(iter(source), 2)
        source.close()
    assert server.wait_for_viewers(0, timeout=20)
    deadline = time.monotonic() + 20
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads


def test_a_process_with_a_hanging_read_still_ends(server: RtspServer) -> None:
    server.stall()
    program = (
        "import threading\n"
        "from stream.sources.network import NetworkSource\n"
        f"source = NetworkSource({server.url!r}, open_timeout=30)\n"
        "reader = threading.Thread(target=lambda: list(source), daemon=True)\n"
        "reader.start()\n"
        "reader.join(0.5)\n"
        "source.close()\n"
        "reader.join(10)\n"
        "print(reader.is_alive())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "False\n", "")


def test_an_unknown_transport_is_an_error() -> None:
    with pytest.raises(ValueError, match="tcp"):
        NetworkSource("rtsp://camera/live", transport="sctp")  # type: ignore[arg-type]


# Goodbyes


@pytest.mark.parametrize("ending", ["duration", "stop"])
@pytest.mark.parametrize("reconnecting", [True, False])
def test_a_camera_is_told_goodbye_before_the_watch_is_over(
    server: RtspServer, monkeypatch: pytest.MonkeyPatch, ending: str, reconnecting: bool
) -> None:
    monkeypatch.setattr("stream.sources.connection.GOODBYE", 20.0)  # only a busy machine needs that long
    monkeypatch.setattr("stream.reader.JOIN_TIMEOUT", 20.0)
    engine = FakeEngine(on_append=lambda group: session.stop() if ending == "stop" else None)
    source = camera(server) if reconnecting else NetworkSource(server.url)
    duration = 1.5 if ending == "duration" else None
    session = Session(source, engine, [], fps=4.0, window=4, size=(28, 28), duration=duration)
    summary = session.run()
    connections = [thread for thread in threading.enumerate() if thread.name.startswith("connection to")]

    assert summary.received > 0
    assert connections == []  # nothing is left to be done in the background, where the end of the process may cut it
    assert server.wait_for_viewers(0, timeout=20)
    assert server.num_goodbyes == 1


def test_a_camera_that_hangs_is_left_without_a_goodbye(server: RtspServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.sources.connection.GOODBYE", 0.01)

    def hang(group: Group) -> None:
        server.stall()
        session.stop()

    source = NetworkSource(server.url, read_timeout=60.0)
    session = Session(source, FakeEngine(on_append=hang), [], fps=4.0, window=4, size=(28, 28))

    assert session.run().ended == "stopped"  # though its read would last for a minute
    server.drop()
