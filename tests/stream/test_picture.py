from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream.errors import SourceUnreadable
from stream.sources.picture import decode, from_pillow, read_picture

HEIGHT, WIDTH = 24, 32
GREY = np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))
"""From black on the left to white on the right."""


def half_clear(mode: str) -> Image.Image:
    """Black; its right half is transparent."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image.convert(mode)


def palette_with_a_clear_colour() -> Image.Image:
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(1, (WIDTH // 2, 0, WIDTH, HEIGHT))
    image.info["transparency"] = 1
    return image


def with_nan() -> np.ndarray:
    values = GREY.astype(np.float32) / 255
    values[0, :] = np.nan
    values[1, 0], values[1, 1] = -np.inf, np.inf
    return values


BLACK_AND_WHITE = np.where(np.arange(WIDTH) < WIDTH // 2, 0, 255).astype(np.uint8)[None].repeat(HEIGHT, 0)
NOTHING_ABOVE = np.concatenate([np.zeros((1, WIDTH), np.uint8), GREY[:1], GREY[2:]])
NOTHING_ABOVE[1, :2] = 0, 255

KINDS: dict[str, tuple[str, Callable[[], Image.Image], np.ndarray]] = {
    "8-bit grey": ("png", lambda: Image.fromarray(GREY), GREY),
    "16-bit grey PNG": ("png", lambda: Image.fromarray(GREY.astype(np.uint16) * 257), GREY),
    "16-bit grey TIFF": ("tif", lambda: Image.fromarray(GREY.astype(np.uint16) * 257), GREY),
    "16-bit grey PGM": ("pgm", lambda: Image.fromarray(GREY.astype(np.int32) * 257), GREY),
    "32-bit whole numbers": ("tif", lambda: Image.fromarray(GREY.astype(np.int32) * 1000 - 7), GREY),
    "floats from 0 to 1": ("tif", lambda: Image.fromarray(GREY.astype(np.float32) / 255), GREY),
    "dark floats": ("tif", lambda: Image.fromarray(GREY.astype(np.float32) / 510), (GREY / 2 + 0.5).astype(np.uint8)),
    "floats of their own range": ("tif", lambda: Image.fromarray(GREY.astype(np.float32) * 1e5 - 3e6), GREY),
    "floats that are no numbers": ("tif", lambda: Image.fromarray(with_nan()), NOTHING_ABOVE),
    "floats all alike": ("tif", lambda: Image.fromarray(np.full_like(GREY, 9, np.float32)), np.zeros_like(GREY)),
    "1 bit": ("png", lambda: Image.fromarray(BLACK_AND_WHITE).convert("1"), BLACK_AND_WHITE),
    "1-bit TIFF": ("tif", lambda: Image.fromarray(BLACK_AND_WHITE).convert("1"), BLACK_AND_WHITE),
    "CMYK": ("tif", lambda: Image.fromarray(GREY).convert("RGB").convert("CMYK"), GREY),
    "CMYK JPEG": ("jpg", lambda: Image.new("CMYK", (WIDTH, HEIGHT), (0, 0, 0, 55)), np.full_like(GREY, 200)),
    "alpha": ("png", lambda: half_clear("RGBA"), BLACK_AND_WHITE),
    "grey and alpha": ("png", lambda: half_clear("LA"), BLACK_AND_WHITE),
    "alpha in WebP": ("webp", lambda: half_clear("RGBA"), BLACK_AND_WHITE),
    "palette": ("png", lambda: Image.fromarray(BLACK_AND_WHITE).convert("P"), BLACK_AND_WHITE),
    "palette with a clear colour": ("png", palette_with_a_clear_colour, BLACK_AND_WHITE),
    "GIF with a clear colour": ("gif", palette_with_a_clear_colour, BLACK_AND_WHITE),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_looks_as_it_was_drawn(tmp_path: Path, name: str) -> None:
    suffix, draw, expected = KINDS[name]
    path = tmp_path / f"picture.{suffix}"
    draw().save(path, **({"lossless": True} if suffix == "webp" else {}))

    for pixels in (read_picture(path), decode(io.BytesIO(path.read_bytes()), "it")):
        assert pixels.shape == (HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8 and pixels.flags.writeable
        difference = np.abs(pixels.astype(int) - expected[..., None])
        assert difference.max() <= 1


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_in_memory_looks_like_the_same_one_in_a_file(name: str) -> None:
    _, draw, expected = KINDS[name]
    if name == "16-bit grey PGM":
        expected = GREY  # whole numbers in memory have no range but their own

    assert np.abs(from_pillow(draw(), "it").astype(int) - expected[..., None]).max() <= 1


def test_a_tall_picture_is_scaled_to_its_last_row() -> None:
    tall = np.tile(np.linspace(0, 255, 700).round().astype(np.uint8)[:, None], (1, 4))

    assert (from_pillow(Image.fromarray(tall.astype(np.uint16) * 257), "it")[..., 0] == tall).all()


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "a.png")

    assert (read_picture(tmp_path / "a.png") == 127).all()


UPRIGHT = np.zeros((16, 32, 3), np.uint8)
UPRIGHT[:8, :16], UPRIGHT[:8, 16:], UPRIGHT[8:, :16] = (250, 0, 0), (0, 250, 0), (0, 0, 250)

TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # how the camera stored what is upright
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels),
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: np.rot90(pixels, -1),
}


def stored(path: Path, orientation: int) -> Path:
    image = Image.fromarray(np.ascontiguousarray(TURNED[orientation](UPRIGHT)))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_photo_is_upright_however_the_camera_was_held(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = stored(tmp_path / f"photo{suffix}", orientation)

    assert np.abs(read_picture(path).astype(int) - UPRIGHT).max() < 12
    with Image.open(path) as image:
        assert np.abs(from_pillow(image, "it").astype(int) - UPRIGHT).max() < 12


def test_what_somebody_has_turned_already_is_not_turned_again(tmp_path: Path) -> None:
    with Image.open(stored(tmp_path / "photo.png", 6)) as image:
        turned = image.rotate(-90, expand=True)

    assert (from_pillow(turned, "it") == UPRIGHT).all()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_several_pictures_in_a_file_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    first, *rest = (Image.new("RGB", (16, 16), (shade, shade, shade)) for shade in (250, 100, 0))
    first.save(tmp_path / f"several.{suffix}", save_all=True, append_images=rest)

    assert (read_picture(tmp_path / f"several.{suffix}") > 240).all()


def test_no_program_is_run_for_a_picture(tmp_path: Path) -> None:
    """Pillow reads PostScript with Ghostscript."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")

    with pytest.raises(SourceUnreadable, match="unknown format"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "tif", "jpg", "bmp"])
def test_a_damaged_file_is_one_named_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()

    for end in range(1, len(content) - 200, max(1, len(content) // 40)):
        with pytest.raises(SourceUnreadable, match=r"^it: "):
            decode(io.BytesIO(content[:end]), "it")
