"""What a player shows of a decoded picture: without combs, in square pixels, RGB, upright.

Nothing is converted before somebody looks. Knows PyAV's pictures. Knows no file and no time.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from stream.errors import BadPicture
from stream.frame import LazyPicture, Pixels
from stream.sources.deinterlace import deinterlaced
from stream.sources.geometry import Orientation, square


class Player:
    """Told of every picture of one track, in the order they are shown."""

    def __init__(self, track: av.VideoStream, deinterlace: bool) -> None:
        self._aspect = _PixelAspect(track)
        self._deinterlace = deinterlace
        self._before: av.VideoFrame | None = None

    def show(self, picture: av.VideoFrame) -> LazyPicture:
        size = square(picture.height, picture.width, self._aspect.now())
        orientation = _orientation(picture)
        woven = self._deinterlace and picture.interlaced_frame
        before, self._before = self._before if woven else None, picture

        def convert() -> Pixels:
            try:
                whole = deinterlaced(picture, before) if woven else picture
                return orientation.apply(_to_rgb(whole, size))
            except (av.error.FFmpegError, ValueError) as error:
                raise BadPicture(f"A picture of format {picture.format.name} cannot become RGB ({error}).") from None

        return LazyPicture(orientation.shape(*size), convert)


class _PixelAspect:
    """Width over height of a pixel: as the container says, until the stream itself says something new."""

    def __init__(self, track: av.VideoStream) -> None:
        self._context = track.codec_context
        self._stated: Fraction | None = track.sample_aspect_ratio
        self._coded: Fraction | None = self._context.sample_aspect_ratio

    def now(self) -> Fraction | None:
        coded = self._context.sample_aspect_ratio
        if coded != self._coded:
            self._stated = self._coded = coded
        return self._stated


def _orientation(picture: av.VideoFrame) -> Orientation:
    """Phones write pictures lying on their side and say so."""
    told: Any = picture.side_data  # PyAV declares only one of its kinds
    return Orientation.of_matrix(bytes(told["DISPLAYMATRIX"])) if "DISPLAYMATRIX" in told else Orientation()


def _to_rgb(picture: av.VideoFrame, size: tuple[int, int]) -> Pixels:
    height, width = size
    if (height, width) == (picture.height, picture.width):
        rgb = picture.to_ndarray(format="rgb24")
    else:
        rgb = picture.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
    return rgb.astype(np.uint8, copy=False)
