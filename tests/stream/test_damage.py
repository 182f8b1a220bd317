"""A picture that is believed is the right picture, whatever was missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.frame import Frame, Pixels
from stream.rtsp_server import RtspServer
from stream.sampler import DAMAGED
from stream.session import Session
from stream.sources.damage import BELIEVED_AGAIN, Damage, NoNumbers
from stream.sources.decoding import Decoding
from stream.sources.file import FileSource
from stream.sources.h264 import FrameNumbers
from stream.sources.network import NetworkSource
from stream.testing import FakeEngine, FakeSource

Film = Callable[..., Path]

COUNT, KEYFRAMES = 75, 25  # pictures, and from one keyframe to the next
TS_PACKET = 188


def moving(count: int = COUNT) -> list[Pixels]:
    """What moves everywhere, so that no error stays unseen."""
    coarse = np.random.default_rng(0).integers(0, 255, (18, 22, 3), np.uint8)
    texture = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return [np.roll(texture, (3 * index, 5 * index), (0, 1)) for index in range(count)]


@pytest.fixture(scope="module", params=["0", "2"], ids=["no b-frames", "b-frames"])
def bframes(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["mp4", "ts", "mkv"])
def clean(request: pytest.FixtureRequest, bframes: str, tmp_path_factory: pytest.TempPathFactory, film: Film) -> Path:
    path = tmp_path_factory.mktemp("clean") / f"clean.{request.param}"
    return film(path, moving(), options={"bf": bframes, "preset": "veryfast", "sc_threshold": "0"})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, film: Film) -> Path:
    """Every picture refers to the one before."""
    return film(tmp_path_factory.mktemp("plain") / "plain.mp4", moving(), options={"sc_threshold": "0"})


def frames(path: Path, *, keep_damaged: bool = False) -> list[Frame]:
    return list(FileSource(path, decoding=Decoding(keep_damaged=keep_damaged)))


def number(frame: Frame) -> int:
    return round(frame.pts * 25)


def differs(frame: Frame, true: list[Frame]) -> bool:
    return bool(np.abs(frame.pixels.astype(int) - true[number(frame)].pixels).mean() > 2)


def data_of(path: Path) -> list[tuple[int, int]]:
    """Where each packet's data lies in the file, and its size."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def without(path: Path, missing: Iterable[int], target: Path) -> Path:
    """The same file without some of its packets."""
    with av.open(str(path)) as given, av.open(str(target), "w") as left:
        stream = given.streams.video[0]
        out = left.add_stream_from_template(stream)
        for index, packet in enumerate(given.demux(stream)):
            if packet.size and index not in missing:
                packet.stream = out
                left.mux(packet)
    return target


def judge(path: Path, clean: Path) -> tuple[set[int], set[int]]:
    """Numbers of the pictures that are called damaged, and of those that are believed though they differ."""
    true = frames(clean)
    seen = frames(path)
    assert not any(frame.damaged for frame in true)
    return (
        {number(frame) for frame in seen if frame.damaged},
        {number(frame) for frame in seen if not frame.damaged and differs(frame, true)},
    )


def spoil(clean: Path, place: int, target: Path) -> Path:
    """The data of packet `place` with a hole: lost packets in MPEG-TS, zeros elsewhere."""
    written = bytearray(clean.read_bytes())
    start, size = data_of(clean)[place]
    if clean.suffix == ".ts":
        del written[start + TS_PACKET : start + 3 * TS_PACKET]
    else:
        written[start + size // 2 : start + size // 2 + 60] = bytes(60)
    target.write_bytes(written)
    return target


@pytest.mark.parametrize("place", [30, 33, 41])
def test_what_is_believed_is_right_though_data_was_spoilt(clean: Path, tmp_path: Path, place: int) -> None:
    damaged, wrong = judge(spoil(clean, place, tmp_path / f"spoilt{clean.suffix}"), clean)
    assert wrong == set()
    assert damaged and damaged <= set(range(KEYFRAMES, 2 * KEYFRAMES + 2))


@pytest.mark.parametrize("place", [30, 31, 32, 49])
def test_what_is_believed_is_right_though_a_picture_is_missing(clean: Path, tmp_path: Path, place: int) -> None:
    damaged, wrong = judge(without(clean, [place], tmp_path / f"missing{clean.suffix}"), clean)
    assert wrong == set()
    assert damaged <= set(range(KEYFRAMES, 2 * KEYFRAMES + 2))


def test_pictures_that_miss_what_they_refer_to_are_damaged_until_the_next_keyframe(plain: Path, tmp_path: Path) -> None:
    damaged, _ = judge(without(plain, [30], tmp_path / "missing.mp4"), plain)
    assert damaged == set(range(31, 50))


def test_damaged_pictures_are_kept_on_request(plain: Path, tmp_path: Path) -> None:
    missing = without(plain, [30], tmp_path / "missing.mp4")
    assert not any(frame.damaged for frame in frames(missing, keep_damaged=True))
    assert len(frames(missing, keep_damaged=True)) == len(frames(missing)) == COUNT - 1


def test_damaged_pictures_are_no_samples_and_are_counted_with_their_reason(plain: Path, tmp_path: Path) -> None:
    source = FakeSource(frames(without(plain, [30], tmp_path / "missing.mp4")))
    session = Session(source, FakeEngine(), [], fps=25, window=4, size=(28, 28))
    summary = session.run()
    assert summary.dropped == {DAMAGED: 19}
    assert summary.received == COUNT - 1 == summary.analysed + 19


def test_a_stream_that_never_sends_a_keyframe_is_believed_again_after_a_while() -> None:
    damage: Damage[int] = Damage(NoNumbers())
    seen = []
    for second in range(70):
        packet = av.Packet(b"any")
        packet.pts = packet.dts = second
        packet.time_base = Fraction(1)
        packet.is_corrupt = second in (10, 20)
        damage.send(packet)
        picture = av.VideoFrame(16, 16)
        picture.pts = second
        damage.come_out(picture, second)
        seen += list(damage.settled())
    assert [second for second, is_damaged in seen if is_damaged] == list(range(10, 20 + int(BELIEVED_AGAIN) + 1))


def test_pictures_sent_after_a_keyframe_but_shown_before_it_refer_behind_it() -> None:
    damage: Damage[int] = Damage(NoNumbers())
    #                 sent: pts, keyframe, corrupt
    for pts, is_key, is_corrupt in [(1, False, True), (4, True, False), (2, False, False), (5, False, False)]:
        packet = av.Packet(b"any")
        packet.pts = packet.dts = pts
        packet.time_base = Fraction(1)
        packet.is_keyframe, packet.is_corrupt = is_key, is_corrupt
        damage.send(packet)
    for pts in (1, 2, 4, 5):
        picture = av.VideoFrame(16, 16)
        picture.pts = pts
        damage.come_out(picture, pts)
    assert list(damage.settled()) == [(1, True), (2, True), (4, False), (5, False)]


def test_packets_lost_on_the_network_spoil_no_picture_that_is_believed(plain: Path) -> None:
    true = frames(plain)
    with RtspServer(plain) as server:
        server.lose(every=41)
        source = NetworkSource(server.url, transport="udp")
        seen = list(islice(iter(source), 3 * KEYFRAMES))
        source.close()
    assert any(frame.damaged for frame in seen) and not all(frame.damaged for frame in seen)
    for frame in seen:
        nearest = min(np.abs(frame.pixels.astype(int) - other.pixels).mean() for other in true)
        assert frame.damaged or nearest < 2


@pytest.mark.parametrize("suffix", ["mp4", "ts", "h264"])
@pytest.mark.parametrize(
    "coding",
    [
        {"bf": "4", "x264-params": "b-pyramid=normal:ref=4"},
        {"bf": "3", "x264-params": "open-gop=1:keyint=10"},
        {"intra-refresh": "1"},
        {"x264-params": "interlaced=1"},
        {"profile": "baseline", "x264-params": "slices=4"},
    ],
    ids=["b-pyramid", "open gop", "intra refresh", "interlaced", "slices"],
)
def test_no_picture_of_a_whole_film_is_called_damaged_however_it_was_coded(
    tmp_path: Path, coding: dict[str, str], suffix: str, film: Film
) -> None:
    whole = frames(film(tmp_path / f"whole.{suffix}", moving(30), options=coding))
    assert [frame.damaged for frame in whole] == [False] * 30


def test_every_picture_of_a_whole_film_follows_the_one_before(clean: Path) -> None:
    with av.open(str(clean)) as container:
        track = container.streams.video[0]
        numbers = FrameNumbers(track.codec_context.extradata)
        assert all(numbers.follows(bytes(packet)) for packet in container.demux(track))


def test_what_is_no_bitstream_is_taken_for_complete() -> None:
    for extradata in (None, b"", b"\x01", b"\x01\x64\x00\x1f\xff\xe1\x00\x03\x67\x64", bytes(40), b"\0\0\1\x67"):
        numbers = FrameNumbers(extradata)
        assert numbers.follows(b"")
        assert numbers.follows(b"\0\0\1\x65")
        assert numbers.follows(bytes(range(256)))


@given(st.binary(max_size=80), st.lists(st.binary(max_size=80), max_size=4))
def test_whatever_comes_the_numbers_are_read_or_passed_over(extradata: bytes, packets: list[bytes]) -> None:
    for start in (b"", b"\x01\x64\x00\x1f\xff\xe1\x00\x20\x67", b"\0\0\1\x67\x64"):
        numbers = FrameNumbers(start + extradata)
        for packet in packets:
            assert numbers.follows(b"\0\0\1\x67" + packet) in (True, False)
            assert numbers.follows(b"\0\0\1\x41" + packet) in (True, False)
