"""Single pictures in files, read with Pillow: upright, RGB."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stream.errors import SourceUnreadable
from stream.frame import Pixels

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
MAX_PIXELS = 100_000_000  # beyond any camera; a small file can hold more than the memory


def is_picture(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in SUFFIXES


def read_picture(path: Path) -> Pixels:
    return _read(path, str(path))


def decode_picture(picture: bytes, name: str) -> Pixels:
    """Of a file that is in memory; `name` is for messages."""
    return _read(io.BytesIO(picture), name)


def _read(file: Path | io.BytesIO, name: str) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is ours
            with Image.open(file) as image:
                return _pixels(image, name)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SourceUnreadable(f"{name}: it cannot be read as a picture ({_reason(error)}).") from None


def _pixels(image: Image.Image, name: str) -> Pixels:
    if image.width * image.height > MAX_PIXELS:
        raise SourceUnreadable(f"{name}: {image.width}x{image.height} is more than {MAX_PIXELS:,} pixels.")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # converting would cut, not scale, what is brighter than 255
        return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    return np.array(upright.convert("RGB"))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format"
    return getattr(error, "strerror", None) or str(error)
