from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import AccessDenied, BadMessage
from edge.media.limits import Limits, PixelLimits
from edge.media.pictures import load_image, read_picture
from edge.models.qwen2_vl import QWEN2_VL
from stream.errors import BadPicture, SourceNotFound

LIMITS = Limits(PixelLimits(28 * 28, 200 * 200), PixelLimits(28 * 28, 100 * 100), QWEN2_VL.limits.largest, 28)


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
    "another machine": ({"image": "file://[/a.png"}, AccessDenied, "machine"),
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
