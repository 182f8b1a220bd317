from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import pytest

from stream.errors import NoVideo, SourceNotFound, SourceUnreadable
from stream.rtsp_server import RtspServer
from stream.rtsp_server.clip import Clip
from stream.rtsp_server.rtp import IDR, PPS, SPS, Packet, depacketize, nal_type

FPS = 25


class Talk:
    """An RTSP viewer that speaks by hand."""

    def __init__(self, server: RtspServer) -> None:
        self.url = server.url
        self._connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._stream = self._connection.makefile("rb")
        self._cseq = 0

    def ask(self, method: str, url: str | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
        self._cseq += 1
        given = {"CSeq": str(self._cseq), **headers}
        lines = [f"{method} {url or self.url} RTSP/1.0", *(f"{k}: {v}" for k, v in given.items()), "", ""]
        self._connection.sendall("\r\n".join(lines).encode())
        status = int(self._stream.readline().split()[1])
        answered = {}
        while line := self._stream.readline().decode().strip():
            name, _, value = line.partition(": ")
            answered[name] = value
        assert answered["CSeq"] == str(self._cseq)
        return status, answered, self._stream.read(int(answered.get("Content-Length", 0))).decode()

    def play(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> None:
        assert self.ask("SETUP", f"{self.url}/track0", Transport=transport)[0] == 200
        assert self.ask("PLAY")[0] == 200

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """(channel, packet) from inside the connection."""
        while head := self._stream.read(4):
            _, channel, length = struct.unpack("!cBH", head)
            yield channel, self._stream.read(length)

    def close(self) -> None:
        self._stream.close()
        self._connection.close()


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    with RtspServer(clip) as server:
        yield server


@pytest.fixture
def talk(server: RtspServer) -> Iterator[Talk]:
    with closing(Talk(server)) as talk:
        yield talk


def test_the_clip_is_described(talk: Talk, server: RtspServer) -> None:
    status, headers, body = talk.ask("DESCRIBE")
    assert status == 200 and headers["Content-Type"] == "application/sdp"
    assert "H264/90000" in body and "a=control:track0" in body
    found = re.search(r"sprop-parameter-sets=(.*),(.*)\r\n", body)
    assert found is not None
    assert [nal_type(base64.b64decode(nal)) for nal in found.groups()] == [SPS, PPS]


def test_the_methods_are_listed_and_others_refused(talk: Talk) -> None:
    status, headers, _ = talk.ask("OPTIONS")
    assert status == 200 and "GET_PARAMETER" in headers["Public"]
    assert talk.ask("GET_PARAMETER")[0] == 200
    assert talk.ask("RECORD")[0] == 501
    assert talk.ask("PLAY")[0] == 455
    assert talk.ask("SETUP", Transport="RTP/AVP;multicast")[0] == 461
    assert talk.ask("DESCRIBE", "rtsp://127.0.0.1/elsewhere")[0] == 404


def test_the_packets_are_the_clip_round_after_round(talk: Talk, server: RtspServer) -> None:
    talk.play()
    rtp = []
    for channel, packet in talk.packets():
        if channel == 0:
            rtp.append(Packet.from_bytes(packet))
        if sum(packet.marker for packet in rtp) == FPS + 1:
            break
    steps = {(b.sequence - a.sequence) % 2**16 for a, b in pairwise(rtp)}
    assert steps == {1}
    times = [packet.timestamp for packet in rtp if packet.marker]
    assert {b - a for a, b in pairwise(times)} == {90_000 // FPS}
    nals = depacketize(packet.payload for packet in rtp)
    expected = [nal for picture in server.clip.pictures for nal in picture.nals]
    first_again = len(nals) - len(expected)
    assert nals == expected + expected[:first_again]


def test_reports_tie_the_timestamps_to_the_time_of_day(talk: Talk) -> None:
    talk.play()
    reports = (packet for channel, packet in talk.packets() if channel == 1)
    assert next(reports)[1] == 200


def test_teardown_ends_the_connection(talk: Talk, server: RtspServer) -> None:
    assert talk.ask("TEARDOWN")[0] == 200
    assert server.wait_for_viewers(0, timeout=20)
    assert server.num_goodbyes == 1


def test_garbage_ends_the_connection_and_nothing_else(server: RtspServer, talk: Talk) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"\x00\xff garbage\r\n\r\n")
        assert stranger.recv(100) == b""
    assert talk.ask("OPTIONS")[0] == 200


def test_a_viewer_that_dies_is_forgotten(server: RtspServer) -> None:
    with closing(Talk(server)) as talk:
        talk.play()
        assert server.wait_for_viewers(1, timeout=20)
    assert server.wait_for_viewers(0, timeout=20)


def basic(user: str, password: str) -> Callable[[str, str], str]:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda method, challenge: f"Basic {login}"


def digest(user: str, password: str, url: str) -> Callable[[str, str], str]:
    def respond(method: str, challenge: str) -> str:
        realm, nonce = re.findall(r'"(.*?)"', challenge)
        who, what = (
            hashlib.md5(text.encode()).hexdigest() for text in (f"{user}:{realm}:{password}", f"{method}:{url}")
        )
        response = hashlib.md5(f"{who}:{nonce}:{what}".encode()).hexdigest()
        return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{url}", response="{response}"'

    return respond


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_only_the_right_login_is_let_in(clip: Path, auth: Literal["basic", "digest"]) -> None:
    with RtspServer(clip, user="viewer", password="p:ss wörd", auth=auth) as server, closing(Talk(server)) as talk:
        assert talk.ask("OPTIONS")[0] == 200
        status, headers, _ = talk.ask("DESCRIBE")
        challenge = headers["WWW-Authenticate"]
        assert status == 401 and challenge.lower().startswith(auth)
        for password, expected in (("wrong", 401), ("p:ss wörd", 200)):
            respond = basic("viewer", password) if auth == "basic" else digest("viewer", password, server.url)
            assert talk.ask("DESCRIBE", Authorization=respond("DESCRIBE", challenge))[0] == expected
        other = "Digest" if auth == "basic" else "Basic"
        assert talk.ask("DESCRIBE", Authorization=f"{other} abc")[0] == 401


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", ["clip.mp4", "bframes.mp4"])
def test_ffmpeg_sees_every_picture(media: Path, transport: str, name: str) -> None:
    options = {"rtsp_transport": transport, "probesize": "32768", "analyzeduration": "100000"}
    with RtspServer(media / name, loop=False) as server, av.open(server.url, options=options, timeout=20) as container:
        track = container.streams.video[0]
        assert (track.codec_context.width, track.codec_context.height) == (160, 120)
        frames = [frame for frame, _ in zip(container.decode(track), range(FPS - 3), strict=False)]
    times = [frame.time for frame in frames if frame.time is not None]  # FFmpeg gives the first one none
    assert len(times) >= len(frames) - 1
    assert times == sorted(times)
    assert all(a != b for a, b in pairwise(times))


def test_several_viewers_at_once(server: RtspServer) -> None:
    with closing(Talk(server)) as one, closing(Talk(server)) as two:
        for talk in (one, two):
            talk.play()
        assert server.num_viewers == 2
        for talk in (one, two):
            assert next(talk.packets())


def test_a_stalled_server_answers_once_it_goes_on(server: RtspServer, talk: Talk) -> None:
    assert talk.ask("OPTIONS")[0] == 200
    server.stall()
    threading.Timer(0.1, server.resume).start()
    assert talk.ask("OPTIONS")[0] == 200


def test_the_times_tell_how_long_a_stall_was(server: RtspServer, talk: Talk) -> None:
    talk.play()
    pictures = (Packet.from_bytes(packet) for channel, packet in talk.packets() if channel == 0)
    times = [next(pictures).timestamp]
    server.stall()
    threading.Timer(0.3, server.resume).start()
    while len(times) < 40:
        times.append(next(pictures).timestamp)
    assert max(b - a for a, b in pairwise(times)) > 0.25 * 90_000


def test_lost_packets_leave_holes_in_the_numbers(server: RtspServer, talk: Talk) -> None:
    server.lose(every=5)
    talk.play()
    pictures = (Packet.from_bytes(packet) for channel, packet in talk.packets() if channel == 0)
    numbers = [next(pictures).sequence for _ in range(20)]
    assert [(b - a) % (1 << 16) for a, b in pairwise(numbers)] == ([1, 1, 1, 2] * 5)[:19]


def test_a_refusing_server_keeps_its_viewers_and_its_port(server: RtspServer, talk: Talk) -> None:
    assert talk.ask("OPTIONS")[0] == 200
    server.refuse()
    server.refuse()
    with pytest.raises(ConnectionRefusedError):
        Talk(server)
    assert talk.ask("OPTIONS")[0] == 200
    server.refuse(False)
    server.refuse(False)
    with closing(Talk(server)) as another:
        assert another.ask("OPTIONS")[0] == 200


def test_a_restart_loses_the_viewers_and_keeps_the_port(server: RtspServer, talk: Talk) -> None:
    talk.play()
    port = server.port
    server.restart()
    assert sum(1 for _ in talk.packets()) < 1000  # they end
    assert server.port == port
    with closing(Talk(server)) as another:
        assert another.ask("OPTIONS")[0] == 200


def test_another_clip_comes_with_the_next_round(server: RtspServer, talk: Talk, large_clip: Path) -> None:
    talk.play()
    server.switch(large_clip)
    wanted = Clip.read(large_clip).sps
    for channel, packet in talk.packets():
        if channel == 0 and Packet.from_bytes(packet).payload == wanted:
            break
    else:
        pytest.fail("the other clip never came")


def test_nothing_is_left_behind(clip: Path) -> None:
    before = threading.active_count()
    server = RtspServer(clip)
    talks = [Talk(server) for _ in range(3)]
    for talk, transport in zip(talks, ["RTP/AVP/TCP;interleaved=0-1", "RTP/AVP;client_port=9-10"], strict=False):
        talk.play(transport)
    server.stall()
    server.close()
    server.close()
    for talk in talks:
        talk.close()
    assert threading.active_count() == before
    assert server.num_viewers == 0
    with pytest.raises(ConnectionRefusedError):
        Talk(server)


def test_every_keyframe_carries_its_parameters(clip: Path) -> None:
    read = Clip.read(clip)
    assert len(read.pictures) == FPS and read.seconds == pytest.approx(1.0)
    kinds = [[nal_type(nal) for nal in picture.nals] for picture in read.pictures]
    assert all(SPS in kind and PPS in kind for kind in kinds if IDR in kind)
    assert sum(IDR in kind for kind in kinds) == 5


def test_pictures_in_another_order_than_they_are_sent(media: Path) -> None:
    pictures = Clip.read(media / "bframes.mp4").pictures
    due, pts = [picture.due for picture in pictures], [picture.pts for picture in pictures]
    assert due == sorted(due) and pts != sorted(pts)
    assert min(pts) == 0


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("mpeg4.mp4", SourceUnreadable, "h264 only"),
        ("sound.wav", NoVideo, "no pictures"),
        ("text.mp4", SourceUnreadable, "not a video"),
        ("nothing.mp4", SourceNotFound, "no such file"),
    ],
)
def test_what_cannot_be_served_says_why(media: Path, name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        RtspServer(media / name)


def test_the_login_is_in_one_of_the_addresses_only(clip: Path) -> None:
    with RtspServer(clip, user="a b", password="p@ss/w") as server:
        assert "@" not in server.url
        assert server.url_with_login == server.url.replace("rtsp://", "rtsp://a%20b:p%40ss%2Fw@")
    with pytest.raises(ValueError, match="known are"):
        RtspServer(clip, user="a", auth="ntlm")  # type: ignore[arg-type]


def test_a_login_by_sha256_is_admitted_from_who_knows_how(clip: Path) -> None:
    with (
        RtspServer(clip, user="viewer", password="secret", auth="digest-sha256") as server,
        closing(Talk(server)) as talk,
    ):
        status, headers, _ = talk.ask("DESCRIBE")
        assert status == 401 and "algorithm=SHA-256" in headers["WWW-Authenticate"]
        nonce = headers["WWW-Authenticate"].partition('nonce="')[2].partition('"')[0]

        def digest(text: str) -> str:
            return hashlib.sha256(text.encode()).hexdigest()

        response = digest(f"{digest('viewer:loopback camera:secret')}:{nonce}:{digest(f'DESCRIBE:{server.url}')}")
        login = f'Digest username="viewer", nonce="{nonce}", uri="{server.url}", response="{response}"'
        assert talk.ask("DESCRIBE", Authorization=login)[0] == 200


def test_a_viewer_who_joins_late_has_missed_what_came_before(clip: Path) -> None:
    whole = Clip.read(clip)
    late = whole.after(7)
    assert [picture.nals for picture in late.pictures] == [picture.nals for picture in whole.pictures[7:]]
    assert late.pictures[0].due == 0
    assert late.seconds == pytest.approx(whole.seconds - 7 / FPS)


@pytest.mark.parametrize("join", [-1, 25])
def test_who_joins_before_the_clip_or_after_it_is_refused_at_once(clip: Path, join: int) -> None:
    with pytest.raises(ValueError, match=f"{join} pictures are missed"):
        RtspServer(clip, join=join)
