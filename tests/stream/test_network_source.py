"""A camera on loopback that does everything wrong, and web servers beside it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from stream.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    NoVideo,
    SourceNotFound,
    SourceUnreadable,
    Stalled,
    StreamError,
)
from stream.frame import Frame
from stream.rtsp_server import RtspServer, with_login
from stream.sources.network import NetworkSource, is_live
from stream.sources.reconnect import Backoff, Reconnecting, Status

SECRET = "s3cr3t"
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
    clip: Path, auth: Literal["basic", "digest"], capfd: pytest.CaptureFixture[str]
) -> None:
    with RtspServer(clip, user="viewer", password="right", auth=auth) as server:
        source = NetworkSource(with_login(server.url, "viewer", SECRET))
        with pytest.raises(AuthenticationFailed) as caught:
            next(iter(source))
        with pytest.raises(AuthenticationFailed):
            next(iter(NetworkSource(server.url)))
    shows_nothing(caught.value, source.name, "".join(capfd.readouterr()))


def shows_nothing(error: BaseException | None, *texts: str) -> None:
    """The secret is nowhere in the error, nor in those that a traceback would print with it."""
    assert not any(SECRET in text for text in texts)
    while error is not None:
        assert SECRET not in str(error) and SECRET not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# Failures to connect


def test_no_server_is_refused_at_once(server: RtspServer) -> None:
    server.refuse()
    with pytest.raises(ConnectionFailed, match="nothing listens") as caught:
        next(iter(NetworkSource(with_login(server.url, "viewer", SECRET))))
    shows_nothing(caught.value)


def test_a_host_without_an_address_is_a_failure_to_connect() -> None:
    with pytest.raises(ConnectionFailed) as caught:
        next(iter(NetworkSource(f"rtsp://viewer:{SECRET}@no-such-host.invalid/live")))
    shows_nothing(caught.value)


def test_a_wrong_path_is_not_found(server: RtspServer) -> None:
    with pytest.raises(SourceNotFound, match="path"):
        next(iter(NetworkSource(server.url.replace("/live", "/other"))))


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


# HTTP


def test_a_recording_on_the_web_is_read_to_its_end(web: str) -> None:
    source = NetworkSource(f"{web}/clip.mp4")
    frames = list(source)
    assert not source.live
    assert [frame.pts for frame in frames] == pytest.approx([index / 25 for index in range(25)])
    assert {frame.clock for frame in frames} == {"file"}


def test_a_recording_on_the_web_whose_clock_starts_again_goes_on(web: str, media: Path) -> None:
    (media / "joined.mpg").write_bytes((media / "segment.ts").read_bytes() * 2)
    source = NetworkSource(f"{web}/joined.mpg")
    times = [frame.pts for frame in source]
    assert times == pytest.approx([index / 25 for index in range(50)], abs=1e-3)
    assert source.clock_restarts == 1


def test_a_recording_that_nobody_recognizes_plays_once_at_its_own_speed(web: str) -> None:
    source = Reconnecting(lambda: NetworkSource(f"{web}/clip.mp4", live=True), name="clip")
    frames = list(source)
    assert len(frames) == 25
    assert frames[-1].captured - frames[0].captured > 0.8
    assert frames[-1].pts == pytest.approx(0.96, abs=0.02)
    assert source.reconnects == 0


def test_motion_jpeg_is_live(mjpeg: str) -> None:
    source = NetworkSource(f"{mjpeg}/8")
    frames = take(iter(source), 8)
    source.close()
    assert source.live
    assert {(frame.pixels.shape, frame.clock) for frame in frames} == {((120, 160, 3), "arrival")}


def test_motion_jpeg_that_keeps_silent_is_a_stall(mjpeg: str) -> None:
    frames = iter(NetworkSource(f"{mjpeg}/60+", read_timeout=0.3))
    with pytest.raises(Stalled):
        list(frames)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, SourceNotFound),
        (400, ConnectionFailed),
        (429, ConnectionFailed),
        (503, ConnectionFailed),
    ],
)
def test_every_refusal_has_its_name(grumpy: str, answer: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        next(iter(NetworkSource(f"{with_login(grumpy, 'viewer', SECRET)}/{answer}?token={SECRET}")))
    shows_nothing(caught.value)


def test_sound_alone_is_no_video(web: str) -> None:
    with pytest.raises(NoVideo):
        list(NetworkSource(f"{web}/sound.wav"))


def test_what_is_no_video_cannot_be_read(web: str) -> None:
    with pytest.raises(SourceUnreadable):
        list(NetworkSource(f"{web}/text.mp4"))


@pytest.mark.parametrize("name", ["here.m3u8", "there.m3u8"])
def test_a_playlist_from_the_web_opens_what_is_on_the_web_only(web: str, media: Path, name: str) -> None:
    segment = f"file://{media}/segment.ts" if name == "here.m3u8" else "segment.ts"
    (media / name).write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n")
    source = NetworkSource(f"{web}/{name}", live=False, open_timeout=3)
    if name == "there.m3u8":
        assert len(list(source)) == 25
    else:
        with pytest.raises(StreamError):
            list(source)


@pytest.mark.parametrize(
    ("address", "live"),
    [
        ("rtsp://camera/clip.mp4", True),
        ("http://camera/video.mjpg", True),
        ("http://camera/", True),
        ("https://camera/live.m3u8", True),
        ("https://camera/clip.mp4", False),
        ("HTTPS://camera/CLIP.MKV?token=1", False),
        ("https://camera/?file=clip.mp4", True),
    ],
)
def test_recordings_are_known_by_their_name(address: str, live: bool) -> None:
    assert is_live(address) is live


def test_an_unknown_transport_is_an_error() -> None:
    with pytest.raises(ValueError, match="tcp"):
        NetworkSource("rtsp://camera/live", transport="sctp")  # type: ignore[arg-type]
