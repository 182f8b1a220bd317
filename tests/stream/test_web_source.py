"""Web servers of every kind: what they say decides whether there is a camera behind them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from stream.errors import ConnectionFailed
from stream.sources.address import open_source
from stream.sources.decoding import Decoding
from stream.sources.network import NetworkSource
from stream.sources.reconnect import Reconnecting
from stream.sources.snapshot import SnapshotSource
from stream.sources.web import WebSource, is_live, is_snapshot
from stream.sources.web_look import Look, look

Serve = Callable[[Any], str]
ENDED = "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"
GROWING = "#EXTM3U\n#EXTINF:1,\na.ts\n"


def answering(body: bytes, headers: dict[str, str], status: int = 200, *, asked: list[str] | None = None) -> Any:
    """A handler that gives every request the same answer, and closes the connection after it."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Answering


# What the server says

MP4 = {"content_type": "video/mp4"}


@pytest.mark.parametrize(
    ("found", "live"),
    [
        (Look(200, **MP4, length=10_000), False),
        (Look(200, **MP4, length=10_000, seekable=True), False),
        (Look(200, **MP4), None),  # fragments may come for ever, or be a recording that is made on the way
        (Look(200, "video/x-flv"), None),
        (Look(200, "multipart/x-mixed-replace"), True),
        (Look(200, "multipart/x-mixed-replace", length=2**31 - 1), True),
        (Look(200, "video/x-flv", length=2**31 - 1), True),  # no camera sends so much, and some promise it
        (Look(200, "video/mp2t", length=2**63 - 1), True),
        (Look(200, "video/mp2t", length=0), True),
        (Look(200, "video/mp2t", length=2**32, seekable=True), False),
        (Look(200, "application/vnd.apple.mpegurl", playlist=ENDED), False),
        (Look(200, "application/vnd.apple.mpegurl", length=30, playlist=GROWING), True),
    ],
)
def test_a_camera_is_known_by_what_its_server_says(found: Look, live: bool | None) -> None:
    assert is_live("http://camera/clip.mp4", found) is live
    assert is_live("http://camera/live", found) is live


@pytest.mark.parametrize("found", [None, Look(401), Look(503, content_type="image/png")])
@pytest.mark.parametrize(
    ("address", "live", "snapshot"),
    [
        ("http://camera/video.mjpg", True, False),
        ("http://camera/", True, False),
        ("https://camera/live.m3u8", True, False),
        ("https://camera/clip.mp4", False, False),
        ("HTTPS://camera/CLIP.MKV?token=1", False, False),
        ("https://camera/?file=clip.mp4", True, False),
        ("https://camera/now.JPG?channel=1", True, True),
    ],
)
def test_the_name_decides_only_where_nobody_answers(
    address: str, live: bool, snapshot: bool, found: Look | None
) -> None:
    assert is_live(address, found) is live
    assert is_snapshot(address, found) is snapshot


def test_a_look_asks_once_and_reads_the_headers_only(serve: Serve) -> None:
    asked: list[str] = []
    address = serve(answering(b"x" * 100, {"Content-Type": "Video/MP4; a=b", "Content-Length": "100"}, asked=asked))
    assert look(f"{address}/a.mp4?b=c", 20) == Look(200, "video/mp4", 100)
    assert asked == ["GET /a.mp4?b=c"]


def test_a_look_at_a_server_that_keeps_silent_comes_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert look(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.1) is None


def test_a_look_leaves_no_secret_in_a_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    address = serve(answering(b"", {})).replace("://", "://viewer:s3cr3t@")
    with caplog.at_level("DEBUG"):
        assert look(f"{address}/live?token=s3cr3t", 20) is not None
    assert "GET" in caplog.text and "s3cr3t" not in caplog.text


@pytest.mark.parametrize("address", ["http://no-such-host.invalid/", "http://[", "http://127.0.0.1:99999/"])
def test_a_look_at_nothing_is_no_error(address: str) -> None:
    assert look(address, 20) is None


@pytest.mark.parametrize("text", [ENDED, GROWING])
def test_a_playlist_of_playlists_is_followed(serve: Serve, text: str) -> None:
    class Playlists(answering(b"", {})):  # type: ignore[misc]
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/index.m3u8\n"
            self.wfile.write((master if self.path == "/all.m3u8" else text).encode())

    assert WebSource(f"{serve(Playlists)}/all.m3u8").live is (text == GROWING)


@pytest.mark.parametrize("challenge", ["Basic realm=a", 'Digest realm="a", nonce="b", algorithm=SHA-256'])
def test_a_look_logs_in_as_the_address_says(serve: Serve, challenge: str) -> None:
    class Closed(answering(b"", {})):  # type: ignore[misc]
        def do_GET(self) -> None:
            said = self.headers.get("authorization", "")
            self.send_response(200 if said.startswith(challenge.split()[0]) else 401)
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()

    address = serve(Closed).replace("://", "://viewer:s%40cret@")
    found = look(address, 20)
    assert found is not None and found.status == 200


# What is opened


def test_a_recording_has_its_length(web: str) -> None:
    source = open_source(f"{web}/clip.mp4")
    assert not source.live
    assert len(list(source)) == 25


def test_what_is_said_to_be_a_recording_or_live_is_believed_before_the_server(web: str) -> None:
    recording = WebSource("http://no-such-host.invalid/live", live=False)
    assert not recording.live
    live = WebSource(f"{web}/clip.mp4", live=True)
    frames = list(live)
    assert live.live and {frame.clock for frame in frames} == {"arrival"}


def sending(media: Path, kind: str) -> Any:
    """A camera that sends a second of video in a container without a length, and then hangs up."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if kind == "mp4" else {}
    video = media / f"endless.{kind}"
    with av.open(str(media / "clip.mp4")) as clip, av.open(str(video), "w", options=options) as container:
        track = container.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                container.mux(packet)
    if kind == "flv":
        _forget_the_length(video)
    return answering(video.read_bytes(), {"Content-Type": f"video/{kind}"})


def _forget_the_length(flv: Path) -> None:
    """A muxer that writes to a camera's viewer never comes back to write it."""
    content = bytearray(flv.read_bytes())
    for name in (b"duration", b"filesize"):
        at = content.index(name) + len(name) + 1
        content[at : at + 8] = bytes(8)
    flv.write_bytes(content)


@pytest.mark.parametrize("kind", ["flv", "mp4", "ts"])
@pytest.mark.parametrize("name", ["live", "livestream.flv"])
def test_a_stream_without_a_length_is_a_camera_that_comes_back(serve: Serve, media: Path, kind: str, name: str) -> None:
    source = open_source(f"{serve(sending(media, kind))}/{name}")
    assert isinstance(source, Reconnecting)
    frames = iter(source)
    while (frame := next(frames)) and source.reconnects < 2:
        assert frame.clock == "arrival"
    source.close()
    assert sum(source.causes.values()) == 2


def test_a_reconnect_does_not_look_again(serve: Serve, media: Path) -> None:
    asked: list[str] = []
    segment = (media / "segment.ts").read_bytes()
    source = open_source(f"{serve(answering(segment, {'Content-Type': 'video/mp2t'}, asked=asked))}/live")
    assert isinstance(source, Reconnecting)
    assert len(asked) == 1
    frames = iter(source)
    while next(frames) and not source.reconnects:
        pass
    source.close()
    assert len(asked) == 2 + source.reconnects


def test_a_server_that_did_not_answer_the_first_look_is_looked_at_again(serve: Serve) -> None:
    asked: list[str] = []
    picture = answering(b"", {"Content-Type": "image/jpeg", "Content-Length": "0"}, asked=asked)

    class Late(picture):  # type: ignore[misc]
        def do_GET(self) -> None:
            if not asked:
                asked.append("hung up")
                return
            super().do_GET()

    source = WebSource(f"{serve(Late)}/now")
    assert isinstance(source.again(), NetworkSource)
    assert asked == ["hung up"]  # not again for the connection that was made for that look
    assert isinstance(source.again(), SnapshotSource)
    assert isinstance(source.again(), SnapshotSource)
    assert asked == ["hung up", "GET /now"]


def test_motion_jpeg_is_a_stream_and_a_single_picture_is_asked_for_again(serve: Serve, mjpeg: str) -> None:
    picture = serve(answering(b"", {"Content-Type": "image/jpeg", "Content-Length": "0"}))
    assert isinstance(WebSource(f"{picture}/cgi/now", poll_fps=3).again(), SnapshotSource)
    assert isinstance(WebSource(f"{mjpeg}/3.jpg").again(), NetworkSource)


def test_single_pictures_take_no_options_of_video(serve: Serve) -> None:
    picture = serve(answering(b"", {"Content-Type": "image/jpeg", "Content-Length": "0"}))
    with pytest.raises(ValueError, match="single pictures"):
        WebSource(f"{picture}/now", decoding=Decoding(keep_damaged=True))


def test_no_server_is_named_when_it_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"http://viewer:s3cr3t@127.0.0.1:{gone.getsockname()[1]}/live"
    with pytest.raises(ConnectionFailed, match="nothing listens") as caught:
        next(iter(open_source(address)))
    assert "s3cr3t" not in str(caught.value)
    assert not [thread for thread in threading.enumerate() if "look" in thread.name]


def sliding(folder: Path, window: int = 3) -> Any:
    """A playlist that knows three pieces of a second each, and every second another three."""
    pieces = sorted(folder.glob("*.ts"))
    began: list[float] = []

    class Sliding(answering(b"", {})):  # type: ignore[misc]
        def do_GET(self) -> None:
            began.append(time.monotonic())
            first = min(int(began[-1] - began[0]), len(pieces) - window)
            listed = "".join(f"#EXTINF:1.0,\n{piece.name}\n" for piece in pieces[first : first + window])
            head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
            self.send_response(200)
            self.end_headers()
            is_playlist = self.path.endswith(".m3u8")
            self.wfile.write((head + listed).encode() if is_playlist else (folder / self.path[1:]).read_bytes())

    return Sliding


def test_a_camera_that_sends_pieces_is_played_evenly(
    serve: Serve, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    write_video(tmp_path / "live.m3u8", count=6 * 25, container_options={"hls_time": "1", "hls_list_size": "0"})
    source = open_source(f"{serve(sliding(tmp_path))}/live.m3u8")
    assert source.live
    frames = iter(source)
    seen = [next(frames) for _ in range(45)]
    source.close()
    assert [b.pts - a.pts for a, b in pairwise(seen)] == pytest.approx([1 / 25] * 44, abs=0.002)
    assert all(frame.pts <= frame.captured for frame in seen)
