"""A part of the picture: what is looked at, and where its boxes lie in the whole.

Knows rectangles and pixels. People write pixels of the camera's picture, or fractions of its sides; which of them, the
numbers tell: a part of one pixel is never meant, so four numbers up to 1 are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stream.errors import CropOutside
from stream.event import Box
from stream.frame import Pixels

HOW = "Write x,y,width,height in pixels, as 640,0,640,720, or as fractions of the picture, as 0.5,0,0.5,1."


@dataclass(frozen=True, slots=True)
class Crop:
    """Left, top, width and height. Raises ValueError for what is no rectangle, whatever the picture's size.

    >>> Crop.parse("0.5,0,0.5,1").sides(720, 1280)
    (640, 0, 1280, 720)
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        numbers = (self.x, self.y, self.width, self.height)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"crop {self}: these are no four numbers. {HOW}")
        if min(numbers) < 0 or min(self.width, self.height) == 0:
            raise ValueError(f"crop {self}: a side of it is empty, or begins before the picture does. {HOW}")
        if not self.is_fraction and any(number != int(number) for number in numbers):
            raise ValueError(f"crop {self}: pixels are whole numbers, and fractions are 1 at most. {HOW}")
        if self.is_fraction and max(self.x + self.width, self.y + self.height) > 1 + 1e-9:
            raise ValueError(f"crop {self}: it ends outside of the picture, beyond 1. {HOW}")

    @classmethod
    def parse(cls, text: str) -> Crop:
        try:
            x, y, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"crop {text!r}: these are no four numbers. {HOW}") from None
        return cls(x, y, width, height)

    def __str__(self) -> str:
        return ",".join(f"{number:g}" for number in (self.x, self.y, self.width, self.height))

    @property
    def is_fraction(self) -> bool:
        return max(self.x, self.y, self.width, self.height) <= 1

    def sides(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, in pixels of a picture of that size. Raises CropOutside."""
        tall, wide = (height, width) if self.is_fraction else (1, 1)
        left, top = round(self.x * wide), round(self.y * tall)
        right, bottom = round((self.x + self.width) * wide), round((self.y + self.height) * tall)
        if right > width or bottom > height or left >= right or top >= bottom:
            found = "has no pixel" if self.is_fraction else "reaches outside"
            raise CropOutside(f"crop {self}: in a picture of {width}x{height} it {found}. {HOW}")
        return left, top, right, bottom

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the part. Raises CropOutside."""
        left, top, right, bottom = self.sides(height, width)
        return bottom - top, right - left

    def cut(self, picture: Pixels) -> Pixels:
        """The part alone; no copy."""
        left, top, right, bottom = self.sides(*picture.shape[:2])
        return picture[top:bottom, left:right]

    def in_whole(self, boxes: Iterable[Box], height: int, width: int) -> tuple[Box, ...]:
        """Boxes of the part, as boxes of the picture of that size that it was cut from."""
        left, top, right, bottom = self.sides(height, width)

        def across(x: float) -> float:
            return min(1.0, (left + (right - left) * x) / width)

        def down(y: float) -> float:
            return min(1.0, (top + (bottom - top) * y) / height)

        return tuple(
            replace(box, x1=across(box.x1), y1=down(box.y1), x2=across(box.x2), y2=down(box.y2)) for box in boxes
        )


WHOLE = Crop(0, 0, 1, 1)
