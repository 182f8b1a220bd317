"""One picture, in any of the forms a message may hold it in, as an array or at the size the model looks at it.

Knows no format of files: what a picture in a file looks like is `stream.sources.picture`'s, for streams alike.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import BadMessage
from edge.media import addresses, parameters
from edge.media.access import TRUSTED, Access
from edge.media.limits import Limits
from edge.media.parameters import Part
from edge.media.visual import Visual
from stream.errors import BadPicture, SourceUnreadable
from stream.frame import Pixels
from stream.resize import resize
from stream.sources import picture


def load_image(part: Part, limits: Limits, access: Access = TRUSTED) -> Visual:
    """The picture of a part {"image": ...} or {"image_url": ...}. Raises BadMessage, AccessDenied, BadPicture."""
    part = parameters.given(part)
    parameters.check(part, "image")
    pixels = read_picture(part["image"] if "image" in part else part.get("image_url"), access)
    choose_size = parameters.choose_size(part, "image", limits, access)
    pixels = resize(pixels, choose_size(*pixels.shape[:2]))
    return Visual("image", (np.stack([pixels, pixels]),), (0.0,))


def read_picture(value: object, access: Access = TRUSTED) -> Pixels:
    """The picture at its own size. Raises BadMessage, AccessDenied, BadPicture."""
    value = unwrapped(value)
    if isinstance(value, np.ndarray):
        return checked_array(value, ndim=3)
    if not isinstance(value, str | Path | Image.Image):
        raise BadMessage(f"a picture is a path, an address, a PIL image or an array, not a {type(value).__name__}.")
    try:
        return _visible(_decode(value if isinstance(value, Image.Image) else str(value), access))
    except SourceUnreadable as error:
        raise BadMessage(f"{error} Send one that can be decoded, such as a JPEG, PNG or WebP.") from None


def unwrapped(value: object) -> object:
    """The address in OpenAI's form {"url": ..., "detail": ...}; anything else as it is."""
    return value.get("url") if isinstance(value, Mapping) else value


def checked_array(array: NDArray[Any], ndim: int) -> NDArray[np.uint8]:
    """The array, if it holds a picture (3 axes) or the frames of a video (4)."""
    if array.dtype != np.uint8 or array.ndim != ndim or array.shape[-1] != 3:
        shape = "(height, width, 3)" if ndim == 3 else "(frames, height, width, 3)"
        raise BadMessage(f"the array has shape {array.shape} and type {array.dtype}; send {shape}, uint8, RGB.")
    return _visible(array)


def _decode(value: str | Image.Image, access: Access) -> Pixels:
    if isinstance(value, Image.Image):
        return picture.from_pillow(value, "the PIL image", access.max_pixels)
    if addresses.scheme(value) in addresses.CARRIED:
        content = io.BytesIO(addresses.payload(value, access))
        return picture.decode(content, "what the address gives", access.max_pixels)
    if addresses.scheme(value) not in addresses.ON_DISK:
        raise BadMessage(f"a picture cannot come over {addresses.scheme(value)!r}; use a path, file, http or data.")
    file = addresses.file(value, access)
    return picture.decode(file, str(file), access.max_pixels)


def _visible(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[-3:-1]
    if min(height, width) < 2:
        raise BadPicture(f"the picture is {width}x{height}: nothing can be seen in it. Send a larger one.")
    return pixels
