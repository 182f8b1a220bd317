from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from edge.errors import BadMessage
from edge.media import recordings
from edge.media.limits import Limits, PixelLimits
from edge.media.videos import load_video
from edge.models.qwen2_vl import QWEN2_VL
from stream.errors import SourceNotFound, StreamError
from stream.frame import Frame
from stream.testing import FakeSource

LIMITS = Limits(PixelLimits(28 * 28, 200 * 200), PixelLimits(28 * 28, 100 * 100), QWEN2_VL.limits.largest, 28)


def picture(height: int = 56, width: int = 84, shade: int = 90) -> np.ndarray:
    pixels = np.full((height, width, 3), shade, dtype=np.uint8)
    pixels[: height // 2] = (250, 0, 0)
    return pixels


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    Image.fromarray(picture()).save(path)
    return path


def test_an_array_is_paired_and_an_odd_last_frame_repeated() -> None:
    frames = np.stack([picture(shade=n) for n in range(3)])
    visual = load_video({"type": "video", "video": frames}, LIMITS)

    assert visual.kind == "video"
    assert [group.shape for group in visual.groups] == [(2, 56, 84, 3)] * 2
    assert np.array_equal(np.concatenate(visual.groups), frames[[0, 1, 2, 2]])


def test_a_list_may_mix_forms(file: Path) -> None:
    (group,) = load_video({"video": [str(file), picture(shade=7)]}, LIMITS).groups

    assert np.array_equal(group, np.stack([picture(), picture(shade=7)]))


def test_frames_of_the_right_size_are_left_alone() -> None:
    """qwen-vl-utils resizes a list of frames twice, through multiples of 56."""
    (group,) = load_video({"video": [picture(84, 84)]}, LIMITS).groups

    assert np.array_equal(group[0], picture(84, 84))


def test_total_pixels_is_a_limit_for_all_frames_together() -> None:
    frames = np.stack([picture(100, 100)] * 4)
    (first, _) = load_video({"video": frames, "total_pixels": 8000}, LIMITS).groups

    assert first.shape == (2, 56, 56, 3)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[FakeSource]]:
    def source(count: int = 10, fps: float = 4, live: bool = False) -> list[FakeSource]:
        opened: list[FakeSource] = []

        def open_source(address: str, **options: object) -> FakeSource:
            frames = [Frame(picture(shade=n % 256), n / fps, n / fps, "file") for n in range(count)]
            opened.append(FakeSource(frames, live=live, name=address))
            return opened[-1]

        monkeypatch.setattr(recordings, "open_source", open_source)
        return opened

    return source


def shades(part: dict) -> list[int]:
    groups = load_video({"type": "video", "video": __file__, **part}, LIMITS).groups
    return [int(frame[-1, 0, 0]) for group in groups for frame in group]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({}, [0, 2, 4, 6, 8, 8]),
        ({"fps": 4}, list(range(10))),
        ({"fps": 1}, [0, 4, 8, 8]),
        ({"fps": 4, "video_start": 1.0, "video_end": 1.75}, [4, 5, 6, 7]),
        ({"nframes": 4}, [0, 3, 6, 9]),
        ({"nframes": 5}, [0, 3, 6, 9]),
        ({"nframes": 2, "video_start": 0.5, "video_end": 1.5}, [2, 6]),
        ({"nframes": 10}, list(range(10))),
        ({"fps": np.float32(1), "video_start": None, "nframes": None}, [0, 4, 8, 8]),
        ({"nframes": np.int64(4), "fps": None, "video_end": None}, [0, 3, 6, 9]),
        ({"max_frames": 4}, [0, 3, 6, 9]),
        ({"max_frames": 5}, [0, 3, 6, 9]),
        ({"max_frames": 99, "min_frames": 2}, [0, 2, 4, 6, 8, 8]),
        ({"fps": 0.5, "min_frames": 4}, [0, 3, 6, 9]),
        ({"fps": 0.5, "min_frames": 3}, [0, 3, 6, 9]),
        ({"fps": 0.5, "min_frames": 99}, list(range(10))),
        ({"max_frames": 2, "video_start": 0.5, "video_end": 1.5}, [2, 6]),
    ],
)
def test_which_frames_of_a_file_are_seen(source, part: dict, expected: list[int]) -> None:
    opened = source()

    assert shades(part) == expected
    assert all(each.closed for each in opened)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({}, [0.5, 1.5, 2.5]),
        ({"video_start": 1.0}, [1.5, 2.5]),
        ({"nframes": 4}, [0.75, 2.25]),
        ({"max_frames": 4}, [0.75, 2.25]),
        ({"video": [picture()] * 3}, [0.5, 1.0]),
        ({"video": np.stack([picture()] * 4), "sample_fps": 4}, [0.25, 0.75]),
    ],
)
def test_each_group_has_the_time_of_its_newest_frame(source, part: dict, expected: list[float]) -> None:
    source()
    visual = load_video({"type": "video", "video": __file__, **part}, LIMITS)

    assert list(visual.seconds) == expected and len(visual.groups) == len(expected)


def test_total_pixels_is_a_limit_for_all_frames_that_are_sampled(source) -> None:
    source()
    shapes = [
        load_video({"video": __file__, "fps": fps, "total_pixels": 14_000}, LIMITS).groups[0].shape for fps in (1, 4)
    ]

    assert shapes == [(2, 56, 84, 3), (2, 28, 56, 3)]


def test_more_frames_than_can_be_asked_about_are_thinned_out_if_that_is_asked_for(source) -> None:
    source(count=800, fps=10)

    assert len(load_video({"video": __file__, "fps": 10, "max_frames": 100}, LIMITS).groups) == 50


@pytest.mark.parametrize("name", ["a clip#1.mp4", "a%20clip.mp4", "ein Stück.mp4", "50%.mp4", "what?.mp4"])
@pytest.mark.parametrize("wrap", [str, lambda address: {"url": address}])
def test_a_file_address_is_taken_as_it_stands_or_as_browsers_write_it(source, tmp_path: Path, name: str, wrap) -> None:
    opened = source()
    path = tmp_path / name
    path.touch()
    for address in (f"file://{path}", path.as_uri(), str(path)):
        load_video({"video": wrap(address)}, LIMITS)

    assert {each.name for each in opened} == {str(path)}


def test_pictures_in_a_list_may_be_pillows(file: Path) -> None:
    with Image.open(file) as image:
        (group,) = load_video({"video": [image, image.copy()]}, LIMITS).groups

    assert np.array_equal(group, np.stack([picture(), picture()]))


def test_an_animation_is_a_video(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(picture(shade=shade)) for shade in (0, 100, 200))
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, duration=500, lossless=True)
    path = tmp_path / "a.webp"
    carried = "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode()

    for address in (str(path), carried):
        visual = load_video({"video": address}, LIMITS)
        assert [int(frame[-1, 0, 0]) for group in visual.groups for frame in group] == [0, 100, 200, 200]


def test_a_real_file_is_read_by_its_clock(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 25 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    for part, expected in (({}, [0, 2, 4, 6, 8, 8]), ({"nframes": 4}, [0, 3, 6, 9])):
        groups = load_video({"video": path.as_uri(), **part}, LIMITS).groups
        assert groups[0].shape == (2, 56, 56, 3)
        assert [round(float(frame.mean()) / 25) for group in groups for frame in group] == expected


@pytest.mark.parametrize("address", ["/no/such.mp4", "file:///no/such.mp4", "lavfi://testsrc", "A" * 5000])
def test_a_video_that_is_not_there_is_named(address: str) -> None:
    with pytest.raises((BadMessage, StreamError), match=r"no file|scheme"):
        load_video({"video": address}, LIMITS)


def test_a_file_address_reaches_the_source_as_a_path(source, tmp_path: Path) -> None:
    opened = source()
    path = tmp_path / "a clip.mp4"
    path.touch()
    load_video({"video": path.as_uri()}, LIMITS)

    assert opened[0].name == str(path)


def test_a_video_may_come_in_the_message(source) -> None:
    opened = source()
    load_video({"video": "data:video/mp4;base64," + base64.b64encode(b"mp4").decode()}, LIMITS)

    assert not Path(opened[0].name).exists()


def test_a_broken_video_in_a_message_is_not_called_by_the_name_of_a_file_here() -> None:
    with pytest.raises(StreamError, match=r"^the video in the message: ") as caught:
        load_video({"video": "data:video/mp4;base64," + base64.b64encode(b"no video" * 99).decode()}, LIMITS)
    assert ".video" not in str(caught.value)


BROKEN_VIDEOS = {
    "empty list": ({"video": []}, BadMessage, "empty"),
    "empty array": ({"video": np.empty((0, 56, 56, 3), np.uint8)}, BadMessage, "empty"),
    "number": ({"video": 3}, BadMessage, "int"),
    "missing": ({}, BadMessage, "NoneType"),
    "sizes differ": ({"video": [picture(56, 56), picture(56, 84)]}, BadMessage, "frame 1 is 84x56"),
    "missing frame": ({"video": ["/no/such.jpg"]}, SourceNotFound, "no file"),
    "one picture": ({"video": picture()}, BadMessage, "shape"),
    "part of a list": ({"video": [picture()], "video_end": 3}, BadMessage, "video_end"),
    "count of a list": ({"video": [picture()], "nframes": 2}, BadMessage, "nframes"),
    "too many": ({"video": np.zeros((769, 2, 2, 3), np.uint8)}, BadMessage, "768"),
    "both": ({"video": __file__, "fps": 2, "nframes": 4}, BadMessage, "contradict"),
    "more than there are": ({"video": __file__, "nframes": 12}, BadMessage, "10 frames"),
    "one frame": ({"video": __file__, "nframes": 1}, BadMessage, "nframes"),
    "no fps": ({"video": __file__, "fps": 0}, BadMessage, "fps"),
    "endless fps": ({"video": __file__, "fps": 1e9}, BadMessage, "fps"),
    "infinite count": ({"video": __file__, "nframes": float("inf")}, BadMessage, "nframes"),
    "after the end": ({"video": __file__, "video_start": 60}, BadMessage, "video_start"),
    "one frame at most": ({"video": __file__, "max_frames": 1}, BadMessage, "max_frames"),
    "more than at most": ({"video": __file__, "max_frames": 4, "min_frames": 6}, BadMessage, "min_frames"),
    "nothing to count": ({"video": __file__, "max_frames": 4, "video_start": 60}, BadMessage, "video_start"),
    "no rate of a list": ({"video": [picture()], "sample_fps": 0}, BadMessage, "sample_fps"),
}


@pytest.mark.parametrize("name", BROKEN_VIDEOS)
def test_a_broken_video_is_a_named_error(source, name: str) -> None:
    source()
    part, error, match = BROKEN_VIDEOS[name]

    with pytest.raises(error, match=match):
        load_video(part, LIMITS)


def test_a_video_longer_than_can_be_asked_about_is_refused(source) -> None:
    source(count=800, fps=10)

    with pytest.raises(BadMessage, match="768"):
        load_video({"video": __file__, "fps": 10}, LIMITS)


def test_a_live_address_is_no_message(source) -> None:
    source(live=True)

    with pytest.raises(BadMessage, match="stream"):
        load_video({"video": "rtsp://camera"}, LIMITS)
