"""One picture, in any of the forms a message may hold it in, as an array. Knows no sizes of a model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edge.errors import BadMessage
from edge.media import addresses
from stream.errors import BadPicture
from stream.frame import Pixels


def read_picture(value: object) -> Pixels:
    """The picture at its own size. Raises BadMessage, BadPicture."""
    if isinstance(value, Image.Image):
        return _pixels(value)
    if isinstance(value, np.ndarray):
        return checked_array(value, ndim=3)
    if not isinstance(value, str | Path):
        raise BadMessage(f"a picture is a path, an address, a PIL image or an array, not a {type(value).__name__}.")
    address = str(value)
    if addresses.scheme(address) in addresses.CARRIED:
        return _decode(io.BytesIO(addresses.payload(address)), "what the address gives")
    if addresses.scheme(address) not in ("", "file"):
        raise BadMessage(f"a picture cannot come over {addresses.scheme(address)!r}; use a path, file, http or data.")
    path = addresses.path(address)
    if path.is_dir():
        raise BadMessage(f"{path} is a folder, and a picture is a file.")
    return _decode(path, str(path))


def checked_array(array: NDArray[Any], ndim: int) -> NDArray[np.uint8]:
    """The array, if it holds a picture (3 axes) or the frames of a video (4)."""
    if array.dtype != np.uint8 or array.ndim != ndim or array.shape[-1] != 3:
        shape = "(height, width, 3)" if ndim == 3 else "(frames, height, width, 3)"
        raise BadMessage(f"the array has shape {array.shape} and type {array.dtype}; send {shape}, uint8, RGB.")
    return _visible(array)


def _decode(file: Path | io.BytesIO, name: str) -> Pixels:
    try:
        with Image.open(file) as image:
            return _pixels(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise BadMessage(f"{name} is not a picture that can be decoded. Send a JPEG, PNG or WebP.") from None
    except Image.DecompressionBombError:
        raise BadPicture(f"{name} has more pixels than can be decoded safely. Send a smaller picture.") from None
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways to say that a file is damaged
        raise BadMessage(f"{name} is damaged ({type(error).__name__}). Send it again.") from None


def _pixels(image: Image.Image) -> Pixels:
    """RGB; what is transparent becomes white, as in qwen-vl-utils."""
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return _visible(np.asarray(image.convert("RGB")))


def _visible(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[-3:-1]
    if min(height, width) < 2:
        raise BadPicture(f"the picture is {width}x{height}: nothing can be seen in it. Send a larger one.")
    return pixels
