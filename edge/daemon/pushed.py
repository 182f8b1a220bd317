"""A camera whose frames a program brings over HTTP: one that only the robot itself can open."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from edge.errors import BadMessage
from stream.errors import NotWatched
from stream.sources.push import PushSource

ADDRESS = "push:"
MAX_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP")


class PushedCamera:
    """Opens a new source each time it is asked to; frames go to the newest one."""

    def __init__(self) -> None:
        self._source: PushSource | None = None

    def open(self) -> PushSource:
        self._source = PushSource(ADDRESS)
        return self._source

    def push(self, encoded: bytes) -> None:
        """A JPEG, PNG or WebP. Raises BadMessage for what is none, NotWatched, BadFrame, SourceClosed."""
        if self._source is None:
            raise NotWatched("the camera is not watched yet. Push again in a moment.")
        self._source.push(_decoded(encoded))


def _decoded(encoded: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadMessage(f"the picture has {image.width}x{image.height} pixels; {MAX_PIXELS} are the most.")
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadMessage(f"that is no picture that can be read ({error}). Send one as JPEG, PNG or WebP.") from error
