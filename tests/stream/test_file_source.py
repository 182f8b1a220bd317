from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from stream.errors import BadPicture, NoVideo, SourceNotFound, SourceUnreadable
from stream.frame import Pixels
from stream.sampler import groups
from stream.session import Session
from stream.sources import player
from stream.sources.decoding import file_clock
from stream.sources.file import FileSource
from stream.testing import FakeEngine

Shade = Callable[..., Pixels]
Film = Callable[..., Path]
WriteVideo = Callable[..., Path]

FPS = 25  # of all clips made here


@pytest.mark.parametrize("name", ["clip.mp4", "bframes.mp4", "mpeg4.mp4"])
def test_every_picture_comes_once_with_its_time(media: Path, name: str, shade: Shade) -> None:
    source = FileSource(media / name)
    frames = list(source)
    assert [frame.pts for frame in frames] == pytest.approx([index / FPS for index in range(FPS)])
    assert [frame.clock for frame in frames] == ["file"] * FPS
    assert not source.live
    for index, frame in enumerate(frames):
        assert frame.pixels.shape == (120, 160, 3) and frame.pixels.dtype == np.uint8
        assert abs(frame.pixels.mean() - shade(index).mean()) < 4


def test_a_file_can_be_iterated_again(clip: Path) -> None:
    source = FileSource(clip)
    assert len(list(source)) == len(list(source)) == FPS


def test_time_counts_from_the_first_picture(tmp_path: Path, clip: Path) -> None:
    late = tmp_path / "late.mkv"
    with av.open(str(clip)) as given, av.open(str(late), "w") as shifted:
        stream = given.streams.video[0]
        out = shifted.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                packet.pts += int(3600 / packet.time_base)
                packet.dts += int(3600 / packet.time_base)
                packet.stream = out
                shifted.mux(packet)
    assert [frame.pts for frame in FileSource(late)][:2] == pytest.approx([0, 1 / FPS], abs=1e-3)


@pytest.mark.parametrize("jump", [0, 3600])  # seconds from the first recording's begin to the second's
def test_two_recordings_in_one_file_are_one_video(
    tmp_path: Path, film: Film, shade: Shade, jump: int, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [shade(index) for index in range(FPS)] * 2
    parts = [
        film(tmp_path / "first.ts", pictures).read_bytes(),
        film(tmp_path / "second.ts", pictures, times=range(jump * FPS, (jump + 2) * FPS)).read_bytes(),
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    source = FileSource(joined)
    pts = [frame.pts for frame in source]
    assert pts == pytest.approx([index / FPS for index in range(4 * FPS)], abs=1e-3)
    assert source.clock_restarts == 1
    assert "clock starts again (1 x)" in caplog.text
    sampled = [group.num_frames for group in groups(source, 2.0, (28, 28))]
    assert sampled == [2, 2, 2, 2]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_screen_that_stands_still_for_half_a_minute_is_watched_all_the_time(
    tmp_path: Path, film: Film, shade: Shade, suffix: str
) -> None:
    times = [0, 1, 2, 750, 751, 752]
    path = film(tmp_path / f"screen.{suffix}", [shade(index) for index in range(6)], times=times)
    made = list(groups(FileSource(path), 1.0, (28, 28)))
    assert [group.index for group in made] == list(range(16))
    assert [group.num_frames for group in made] == [1] + [0] * 14 + [1]


def test_a_video_that_tells_no_rate_is_stepped_as_most_are() -> None:
    container: Any = SimpleNamespace(format=SimpleNamespace(flags=0))
    track: Any = SimpleNamespace(average_rate=None)
    clock = file_clock(container, track)
    assert [clock.pts(None), clock.pts(None)] == [0.0, 1 / 25]


def test_pictures_without_a_time_follow_at_the_rate_of_the_file(tmp_path: Path, write_video: WriteVideo) -> None:
    raw = write_video(tmp_path / "raw.h264")
    frames = list(FileSource(raw))
    assert len(frames) == FPS
    steps = np.diff([frame.pts for frame in frames])
    assert (steps > 0).all() and np.ptp(steps) < 1e-6


def test_a_change_of_size_is_passed_on(tmp_path: Path, write_video: WriteVideo) -> None:
    joined = tmp_path / "joined.h264"
    small, large = write_video(tmp_path / "a.h264", 5), write_video(tmp_path / "b.h264", 5, (160, 240))
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    assert [frame.pixels.shape[:2] for frame in FileSource(joined)] == [(120, 160)] * 5 + [(160, 240)] * 5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("libx264", "yuv420p10le", (120, 160)),
        ("libx264", "yuv444p", (121, 161)),
        ("mjpeg", "yuvj420p", (121, 161)),
        ("ffv1", "gray", (5, 3)),
    ],
)
def test_unusual_pictures_become_rgb(
    tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int], write_video: WriteVideo
) -> None:
    path = write_video(tmp_path / "odd.mkv", 3, size, codec=codec, pix_fmt=pix_fmt)
    frames = list(FileSource(path))
    assert [frame.pixels.shape for frame in frames] == [(*size, 3)] * 3
    assert abs(frames[0].pixels.mean() - 20) < 4


def test_a_video_lying_on_its_side_is_put_upright(tmp_path: Path) -> None:
    """What a phone held upright writes: the matrix in the file says a quarter turn clockwise."""
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        pixels = np.zeros((120, 160, 3), np.uint8)
        pixels[:, :80] = 255  # left half: turned clockwise it comes to the top
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    written = bytearray(path.read_bytes())
    matrix = written.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    turned = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    written[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in turned)
    path.write_bytes(written)
    [frame] = FileSource(path)
    assert frame.pixels.shape == (160, 120, 3)
    assert frame.pixels[:70].mean() > 250 and frame.pixels[90:].mean() < 5


def test_a_picture_that_cannot_become_rgb_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(picture: av.VideoFrame, size: tuple[int, int]) -> Pixels:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(player, "_to_rgb", fail)
    session = Session(FileSource(clip), FakeEngine(), [], fps=2, window=4, size=(28, 28))
    summary = session.run()
    assert isinstance(session.error, BadPicture) and "yuv420p" in str(session.error)
    assert summary.received == 1 == summary.dropped["bad_picture"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
def test_a_picture_is_a_file_of_one_frame(tmp_path: Path, suffix: str, shade: Shade) -> None:
    path = tmp_path / f"picture.{suffix}"
    cv2.imwrite(str(path), shade(3))
    [frame] = FileSource(path)
    assert frame.pts == 0.0 and frame.pixels.shape == (120, 160, 3)
    assert abs(frame.pixels.mean() - 44) < 2


def test_a_photo_is_turned_as_its_camera_was_held(tmp_path: Path, shade: Shade) -> None:
    image = Image.fromarray(shade(0))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.jpg", exif=exif)
    [frame] = FileSource(tmp_path / "photo.jpg")
    assert frame.pixels.shape == (160, 120, 3)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode in ("CMYK", "I;16") else "picture.png")
    if mode == "I;16":
        Image.fromarray(np.full((12, 16), 51_400, np.uint16)).save(path)
    else:
        Image.new("RGB", (16, 12), (200, 200, 200)).convert(mode, dither=Image.Dither.NONE).save(path)
    [frame] = FileSource(path)
    assert frame.pixels.shape == (12, 16, 3)
    assert frame.pixels.mean() > 190


def test_what_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no such file"):
        FileSource(tmp_path / "nothing.mp4")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="folder"):
        FileSource(tmp_path)


@pytest.mark.parametrize("name", ["empty.mp4", "empty.jpg"])
def test_an_empty_file_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SourceUnreadable, match="empty"):
        FileSource(tmp_path / name)


@pytest.mark.parametrize("name", ["text.mp4", "text.jpg"])
def test_what_is_no_video_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("This is no video. " * 200)
    with pytest.raises(SourceUnreadable, match=name):
        FileSource(tmp_path / name)


def test_half_a_photo_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceUnreadable, match="truncated"):
        FileSource(path)


def test_a_photo_larger_than_any_camera_takes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 6_000)).save(path)
    with pytest.raises(SourceUnreadable, match="20000x6000"):
        FileSource(path)


def test_sound_alone_is_no_video(media: Path) -> None:
    with pytest.raises(NoVideo, match="audio"):
        FileSource(media / "sound.wav")


def test_a_video_that_breaks_off_gives_what_it_has(
    tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.7)])  # the index is at its beginning
    with caplog.at_level(logging.WARNING):
        frames = list(FileSource(broken))
    assert 5 < len(frames) < FPS
    assert "broken.mp4" in caplog.text


def test_a_video_cut_before_its_index_cannot_be_read(tmp_path: Path, media: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((media / "large.mp4").read_bytes()[:1500])
    with pytest.raises(SourceUnreadable):
        list(FileSource(broken))


def test_spoilt_data_costs_a_few_pictures_only(tmp_path: Path, media: Path) -> None:
    spoilt = tmp_path / "spoilt.mp4"
    written = bytearray((media / "mpeg4.mp4").read_bytes())
    start = written.index(b"mdat") + 4
    middle = start + (len(written) - start) // 3
    written[middle : middle + 40] = bytes(40)
    spoilt.write_bytes(written)
    frames = list(FileSource(spoilt))
    assert len(frames) > FPS // 2
    assert all(a.pts <= b.pts for a, b in pairwise(frames))


def test_a_playlist_on_this_machine_does_not_reach_out(tmp_path: Path, web: str) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{web}/clip.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises((SourceUnreadable, NoVideo)):
        list(FileSource(playlist))


def test_close_ends_the_iteration(clip: Path) -> None:
    source = FileSource(clip)
    shown = 0
    for _ in source:
        shown += 1
        source.close()
        source.close()
    assert shown == 1


def test_real_clips_decode_fully(clips: Path) -> None:
    paths = sorted(clips.glob("*.mp4"))
    assert paths
    for path in paths:
        with av.open(str(path)) as container:
            expected = sum(1 for packet in container.demux(video=0) if packet.size)
        source = FileSource(path)
        count, last = 0, -1.0
        for frame in source:
            assert frame.pts > last and not frame.damaged
            count, last = count + 1, frame.pts
        assert (count, source.corrupt) == (expected, 0), path.name


def test_a_recording_without_its_index_says_that_it_is_not_finished(
    write_video: Callable[..., Path], tmp_path: Path
) -> None:
    unfinished = write_video(tmp_path / "unfinished.mp4")  # its index comes last
    unfinished.write_bytes(unfinished.read_bytes().partition(b"moov")[0][:-4])
    with pytest.raises(SourceUnreadable, match="never finished"):
        FileSource(unfinished)
