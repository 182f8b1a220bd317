"""From the pixels of a file to the picture a player shows: turned, mirrored, with square pixels.

Knows display matrices and pixel shapes. Knows no decoder.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from stream.frame import Pixels

MATRIX = struct.Struct("=9i")  # rows of 3; 16.16 fixed point where it turns
ODDEST = 8  # width over height of a pixel, or the other way round; beyond that the number is damage


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a picture: first transposed, then mirrored."""

    transposed: bool = False
    left_right: bool = False  # mirrored so
    upside_down: bool = False

    @classmethod
    def of_matrix(cls, data: bytes) -> Orientation:
        """A point (x, y) of the coded picture is shown at (a x + c y, b x + d y); y grows downwards."""
        if len(data) < MATRIX.size:
            return cls()
        a, b, _, c, d, *_ = MATRIX.unpack(data[: MATRIX.size])
        if abs(b) > abs(a):  # turned to the nearest quarter
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        return (width, height, 3) if self.transposed else (height, width, 3)

    def apply(self, pixels: Pixels) -> Pixels:
        if self == Orientation():
            return pixels
        laid = pixels.swapaxes(0, 1) if self.transposed else pixels
        return np.ascontiguousarray(laid[:: -1 if self.upside_down else 1, :: -1 if self.left_right else 1])


def square(height: int, width: int, aspect: Fraction | None) -> tuple[int, int]:
    """(height, width) in square pixels, where `aspect` is width over height of one. No side loses pixels."""
    if not aspect or not Fraction(1, ODDEST) <= aspect <= ODDEST:
        return height, width
    return (height, round(width * aspect)) if aspect > 1 else (round(height / aspect), width)
