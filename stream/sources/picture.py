"""Single pictures, in files or in memory, read with Pillow: upright, RGB, eight bits, what is transparent white.

The one reader of pictures: for folders and files that are watched, and for those in messages. Of a file with
several pictures it gives the first. Knows no model and no stream.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from stream.errors import SourceUnreadable, StreamError
from stream.frame import Pixels
from stream.printable import printable

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".apng", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm"}
)
MAX_PIXELS = 100_000_000  # beyond any camera; a small file can hold more than the memory

# What photos and drawings come in. Pillow knows more, and runs Ghostscript for some of them.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "PSD", "QOI"),
    *("SGI", "TGA", "TIFF", "WEBP"),
)
SIXTEEN_BITS = 65535
ROWS = 256  # scaled at a time: the numbers in between take eight times the memory of the picture


def is_picture(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path) -> Pixels:
    """Raises SourceUnreadable."""
    return decode(path, printable(str(path)))


def decode(file: Path | IO[bytes], name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture in a file, or in an open one; messages call it `name`. Raises SourceUnreadable."""
    with opened(file, name, max_pixels) as image:
        return to_pixels(ImageOps.exif_transpose(image))


def from_pillow(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture that somebody has opened or made already. Raises SourceUnreadable."""
    with named_failures(name):
        check_size(image, name, max_pixels)
        # What was worked on may carry the camera's note still, though it has been turned since.
        untouched = isinstance(image, ImageFile.ImageFile)
        return to_pixels(ImageOps.exif_transpose(image) if untouched else image)


@contextmanager
def opened(file: Path | IO[bytes], name: str, max_pixels: int) -> Iterator[Image.Image]:
    """The picture, its size known and checked, its pixels not decoded yet."""
    with named_failures(name), open_file(file) as image:
        check_size(image, name, max_pixels)
        yield image


@contextmanager
def named_failures(name: str) -> Iterator[None]:
    """A decoder of foreign bytes fails in any way; for whoever sent them it is one."""
    try:
        yield
    except (StreamError, MemoryError):
        raise
    except Exception as error:
        raise SourceUnreadable(f"{name}: it cannot be read as a picture ({_reason(error)}).") from None


def open_file(file: Path | IO[bytes], formats: Sequence[str] = FORMATS) -> Image.Image:
    """Reads no more than its header. Raises whatever Pillow does."""
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
        return Image.open(file, formats=[name for name in formats if name in Image.OPEN])  # as Pillow was built


def check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise SourceUnreadable(f"{name}: {image.width}x{image.height} is more than {max_pixels:,} pixels.")


def to_pixels(image: Image.Image) -> Pixels:
    """Of any mode, as it stands: what lies on its side is not turned."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _grey(_scaled(np.asarray(image), 0, SIXTEEN_BITS))  # converting would cut off, not scale
    if image.mode in ("I", "F"):
        return _grey(_scaled(np.asarray(image), *_range(np.asarray(image))))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


# Grey of more than eight bits


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """What is black and what is white: 0 and 1 if all lies between them, else the least and the greatest."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """From `low`, black, to `high`, white. What is no number is black."""
    scaled = np.empty(values.shape, dtype=np.uint8)
    for top in range(0, len(values), ROWS):
        share = (values[top : top + ROWS].astype(np.float64) - low) / ((high - low) or 1.0)
        scaled[top : top + ROWS] = np.nan_to_num(share, nan=0.0).clip(0, 1) * 255 + 0.5
    return scaled


def _grey(values: NDArray[np.uint8]) -> Pixels:
    return np.repeat(values[..., None], 3, axis=2)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
