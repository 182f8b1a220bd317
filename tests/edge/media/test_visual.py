from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from edge.errors import BadMessage, ModelUnreadable
from edge.media import visual as media
from edge.media.limits import IMAGE, VIDEO, Limits, PixelLimits
from edge.media.pictures import read_picture
from edge.media.visual import load_image, load_video
from stream.errors import BadPicture, SourceNotFound, StreamError
from stream.frame import Frame
from stream.testing import FakeSource

LIMITS = Limits(PixelLimits(28 * 28, 200 * 200), PixelLimits(28 * 28, 100 * 100))


def picture(height: int = 56, width: int = 84, shade: int = 90) -> np.ndarray:
    pixels = np.full((height, width, 3), shade, dtype=np.uint8)
    pixels[: height // 2] = (250, 0, 0)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def data_url(content: bytes, header: str = "data:image;base64,") -> str:
    return header + base64.b64encode(content).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a picture.png"
    path.write_bytes(png(picture()))
    return path


FORMS: dict[str, Callable[[Path], object]] = {
    "path": str,
    "Path": lambda file: file,
    "file URL": lambda file: file.as_uri(),
    "bare file URL": lambda file: f"file://{file}",
    "data URL": lambda file: data_url(file.read_bytes()),
    "typed data URL": lambda file: data_url(file.read_bytes(), "data:image/png;base64,"),
    "PIL": lambda file: Image.open(file),
    "array": lambda file: np.asarray(Image.open(file)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_the_same_in_every_form(file: Path, form: str) -> None:
    value = FORMS[form](file)
    (group,) = load_image({"type": "image", "image": value}, LIMITS).groups

    assert np.array_equal(group, np.stack([picture(), picture()]))
    if isinstance(value, Image.Image):
        value.close()


@pytest.mark.parametrize("wrap", [lambda url: url, lambda url: {"url": url, "detail": "low"}])
def test_openais_form_is_taken_too(file: Path, wrap) -> None:
    (group,) = load_image({"type": "image_url", "image_url": wrap(data_url(file.read_bytes()))}, LIMITS).groups

    assert np.array_equal(group[1], picture())


def test_what_is_transparent_becomes_white() -> None:
    clear = Image.new("RGBA", (56, 56), (0, 0, 0, 0))

    assert (read_picture(clear) == 255).all()


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(picture(56, 84))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)

    assert read_picture(tmp_path / "turned.jpg").shape == (84, 56, 3)


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({}, (140, 252)),
        ({"max_pixels": 20_000}, (84, 168)),
        ({"min_pixels": 60_000, "max_pixels": 90_000}, (196, 336)),
        ({"resized_height": 100, "resized_width": 57}, (112, 56)),
    ],
)
def test_the_size_is_chosen_by_limits_and_parameters(parameters: dict, size: tuple[int, int]) -> None:
    (group,) = load_image({"type": "image", "image": picture(200, 340), **parameters}, LIMITS).groups

    assert group.shape == (2, *size, 3)


BROKEN_PICTURES = {
    "no file": ({"image": "/no/such/file.png"}, SourceNotFound, "no file /no/such/file.png"),
    "a folder": ({"image": "/"}, BadMessage, "folder"),
    "a name with a hole": ({"image": "a\0.png"}, SourceNotFound, "no file"),
    "nobody's home": ({"image": "~nobody-here/a.png"}, SourceNotFound, "no file"),
    "no file URL": ({"image": "file://[/a.png"}, SourceNotFound, "no file"),
    "not base64": ({"image": "data:image;base64,####"}, BadMessage, "base64"),
    "not marked base64": ({"image": "data:image/png,abc"}, BadMessage, "base64"),
    "base64 of nothing": ({"image": "data:image;base64,"}, BadMessage, "decoded"),
    "cut off": ({"image": data_url(png(picture())[:60])}, BadMessage, "damaged|decoded"),
    "text": ({"image": data_url(b"hello")}, BadMessage, "decoded"),
    "bare base64": ({"image": "A" * 9000}, SourceNotFound, "no file A.*9000 characters"),
    "another scheme": ({"image": "ftp://host/a.png"}, BadMessage, "ftp"),
    "one pixel": ({"image": picture(1, 1)}, BadPicture, "1x1"),
    "a line": ({"image": picture(300, 1)}, BadPicture, "1x300"),
    "1:300": ({"image": picture(2, 600)}, BadPicture, "600x2"),
    "empty array": ({"image": picture(0, 10)}, BadPicture, "10x0"),
    "floats": ({"image": picture().astype(np.float32)}, BadMessage, "float32"),
    "grey": ({"image": picture()[..., 0]}, BadMessage, "shape"),
    "number": ({"image": 5}, BadMessage, "int"),
    "none": ({"image": None}, BadMessage, "NoneType"),
    "no url": ({"image_url": {}}, BadMessage, "NoneType"),
    "text for a number": ({"image": picture(), "max_pixels": "many"}, BadMessage, "max_pixels"),
    "negative": ({"image": picture(), "min_pixels": -1}, BadMessage, "min_pixels"),
    "infinite": ({"image": picture(), "max_pixels": float("inf")}, BadMessage, "max_pixels"),
    "zero": ({"image": picture(), "max_pixels": 0}, BadMessage, "max_pixels"),
    "contradiction": ({"image": picture(), "min_pixels": 900, "max_pixels": 800}, BadMessage, "min_pixels"),
    "monstrous": ({"image": picture(), "min_pixels": 10**12, "max_pixels": 10**12}, BadMessage, "largest"),
    "half a size": ({"image": picture(), "resized_height": 56}, BadMessage, "resized_width"),
    "no size": ({"image": picture(), "resized_height": 0, "resized_width": 9}, BadPicture, "9x0"),
}


@pytest.mark.parametrize("name", BROKEN_PICTURES)
def test_a_broken_picture_is_a_named_error(name: str) -> None:
    part, error, match = BROKEN_PICTURES[name]

    with pytest.raises(error, match=match):
        load_image(part, LIMITS)


@pytest.mark.parametrize(
    "part",
    [
        {"image": "data:image;base64," + "c2VjcmV0" * 200},
        {"image": "A" * 40 + "c2VjcmV0" * 200},
        {"image": picture(), "max_pixels": "A" * 40 + "c2VjcmV0" * 200},
    ],
)
def test_errors_never_quote_a_payload(part: dict) -> None:
    with pytest.raises((BadMessage, SourceNotFound)) as caught:
        load_image(part, LIMITS)

    assert len(str(caught.value)) < 200


# Videos


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

        def open_source(address: str) -> FakeSource:
            frames = [Frame(picture(shade=n % 256), n / fps, n / fps, "file") for n in range(count)]
            opened.append(FakeSource(frames, live=live, name=address))
            return opened[-1]

        monkeypatch.setattr(media, "open_source", open_source)
        return opened

    return source


def test_a_damaged_frame_is_no_part_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Frame(picture(shade=n), n / 4, n / 4, "file", damaged=n in (2, 3)) for n in range(6)]
    monkeypatch.setattr(media, "open_source", lambda address: FakeSource(frames, name=address))

    assert shades({"nframes": 4}) == [0, 1, 4, 5]


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
    ],
)
def test_which_frames_of_a_file_are_seen(source, part: dict, expected: list[int]) -> None:
    opened = source()

    assert shades(part) == expected
    assert all(each.closed for each in opened)


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
    load_video({"video": data_url(b"mp4", "data:video/mp4;base64,")}, LIMITS)

    assert not Path(opened[0].name).exists()


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
    "total by the clock": ({"video": __file__, "total_pixels": 9999}, BadMessage, "nframes"),
    "unsupported": ({"video": __file__, "max_frames": 8}, BadMessage, "max_frames"),
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


# Limits of a folder


@pytest.mark.parametrize(
    ("image", "video", "expected"),
    [
        (None, None, (IMAGE, VIDEO)),
        ('{"min_pixels": 3136, "max_pixels": 12845056}', None, (PixelLimits(3136, 12845056), VIDEO)),
        (
            '{"size": {"shortest_edge": 3136, "longest_edge": 12845056}}',
            '{"size": {"shortest_edge": 10, "longest_edge": 20}}',
            (PixelLimits(3136, 12845056), PixelLimits(10, 20)),
        ),
        (
            '{"min_pixels": 12544, "max_pixels": 22400}',
            None,
            (PixelLimits(12544, 22400), PixelLimits(12544, 22400)),
        ),
        ('{"do_resize": true}', "{}", (IMAGE, VIDEO)),
    ],
)
def test_limits_come_from_the_model_folder(tmp_path: Path, image, video, expected) -> None:
    for name, content in (("preprocessor_config.json", image), ("video_preprocessor_config.json", video)):
        if content:
            (tmp_path / name).write_text(content)

    assert Limits.load(tmp_path) == Limits(*expected)


@pytest.mark.parametrize("content", ["{", "[]", '{"min_pixels": "a", "max_pixels": 3}', '{"size": 3}'])
def test_unreadable_limits_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)

    with pytest.raises(ModelUnreadable, match="preprocessor_config"):
        Limits.load(tmp_path)
