"""Recordings, Motion JPEG and refusals from web servers, through the source that opens what it is told to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

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
from stream.frame import Pixels
from stream.rtsp_server import with_login
from stream.sources.network import NetworkSource
from stream.sources.reconnect import Reconnecting

SECRET = "s3cr3t"


def test_a_recording_on_the_web_is_read_to_its_end(web: str) -> None:
    source = NetworkSource(f"{web}/clip.mp4", live=False)
    frames = list(source)
    assert not source.live
    assert [frame.pts for frame in frames] == pytest.approx([index / 25 for index in range(25)])
    assert {frame.clock for frame in frames} == {"file"}


def test_a_recording_on_the_web_whose_clock_starts_again_goes_on(web: str, media: Path) -> None:
    (media / "joined.mpg").write_bytes((media / "segment.ts").read_bytes() * 2)
    source = NetworkSource(f"{web}/joined.mpg", live=False)
    times = [frame.pts for frame in source]
    assert times == pytest.approx([index / 25 for index in range(50)], abs=1e-3)
    assert source.clock_restarts == 1


def test_a_recording_that_nobody_recognizes_plays_once_at_its_own_speed(web: str) -> None:
    source = Reconnecting(lambda: NetworkSource(f"{web}/clip.mp4"), name="clip")
    frames = list(source)
    assert len(frames) == 25
    assert frames[-1].captured - frames[0].captured > 0.8
    assert frames[-1].pts == pytest.approx(0.96, abs=0.02)
    assert source.reconnects == 0


def test_a_recording_whose_pictures_stand_for_long_is_no_stalled_camera(
    web: str, media: Path, film: Callable[..., Path], shade: Callable[..., Pixels]
) -> None:
    film(media / "slow.mkv", [shade(0), shade(9), shade(18)], times=[0, 1, 30])  # 1.2 s between two pictures
    source = Reconnecting(lambda: NetworkSource(f"{web}/slow.mkv", read_timeout=0.3), name="slow")
    frames = [frame for frame in source if not frame.held]
    assert [frame.pts for frame in frames] == pytest.approx([0, 0.04, 1.2], abs=0.02)
    assert source.reconnects == 0


def test_motion_jpeg_is_live(mjpeg: str) -> None:
    source = NetworkSource(f"{mjpeg}/8")
    frames = list(islice(source, 8))
    source.close()
    assert source.live
    assert {(frame.pixels.shape, frame.clock) for frame in frames} == {((120, 160, 3), "arrival")}


def test_motion_jpeg_has_no_clock_but_its_arrival(mjpeg: str) -> None:
    source = NetworkSource(f"{mjpeg}/8")
    frames = list(islice(source, 8))
    source.close()
    assert all(frame.pts == frame.captured for frame in frames)


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
def test_every_refusal_has_its_name(
    grumpy: str, shows_nothing: Callable[..., None], answer: int, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        next(iter(NetworkSource(f"{with_login(grumpy, 'viewer', SECRET)}/{answer}?token={SECRET}")))
    shows_nothing(caught.value)


def test_sound_alone_is_no_video(web: str) -> None:
    with pytest.raises(NoVideo):
        list(NetworkSource(f"{web}/sound.wav"))


def test_what_is_no_video_cannot_be_read(web: str) -> None:
    with pytest.raises(SourceUnreadable):
        list(NetworkSource(f"{web}/text.mp4"))


def test_a_recording_without_its_index_says_that_it_is_not_finished(
    web: str, media: Path, write_video: Callable[..., Path]
) -> None:
    unfinished = write_video(media / "unfinished.mp4")  # its index comes last
    unfinished.write_bytes(unfinished.read_bytes().partition(b"moov")[0][:-4])
    with pytest.raises(SourceUnreadable, match="never finished"):
        list(NetworkSource(f"{web}/unfinished.mp4", live=False))


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
