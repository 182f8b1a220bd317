"""Which size a picture gets for the model, and the one resize that brings it there.

Knows Qwen2-VL's rule for sides and pixels. Knows no stream, no crop and no normalisation.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from stream.errors import BadPicture
from stream.frame import Pixels

MAX_RATIO = 200
"""Longest side over shortest side, from Qwen2-VL's own preprocessing."""


def smart_resize(height: int, width: int, *, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The (height, width) at which Qwen2-VL looks at a picture of the given size.

    1. Both sides are multiples of `factor`.
    2. The area lies within [min_pixels, max_pixels], as far as whole multiples of `factor` allow.
    3. The aspect ratio is kept as well as possible.

    >>> smart_resize(1080, 1920, factor=28, min_pixels=128 * 784, max_pixels=256 * 784)
    (336, 588)
    """
    if factor < 1 or not 1 <= min_pixels <= max_pixels:
        raise ValueError(
            f"factor {factor}, min_pixels {min_pixels}, max_pixels {max_pixels}: "
            "all must be at least 1, and min_pixels at most max_pixels."
        )
    _refuse_what_the_model_cannot_take(height, width)
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        tall = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
    elif tall * wide < min_pixels:  # also where a side rounded to zero: one pixel grows to the smallest size
        grow = math.sqrt(min_pixels / (height * width))
        tall = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return tall, wide


def _refuse_what_the_model_cannot_take(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise BadPicture(f"The picture is {width}x{height}: it has no pixels. Check the source's size.")
    if max(height, width) / min(height, width) > MAX_RATIO:
        raise BadPicture(
            f"The picture is {width}x{height}: one side is more than {MAX_RATIO} times the other, "
            "which Qwen2-VL cannot take. Crop the picture, or choose another stream of the camera."
        )


def resize(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The picture at (height, width), bicubic and antialiased; the same array if it already has that size."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    if 0 in pixels.shape:
        _refuse_what_the_model_cannot_take(pixels.shape[0], pixels.shape[1])
    # Pillow's bicubic filter widens when it shrinks, as in the model's own preprocessing; OpenCV's does not.
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
