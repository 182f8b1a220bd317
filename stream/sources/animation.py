"""Animated GIF, PNG and WebP as videos: each picture when it is shown, once from beginning to end.

Read with Pillow, for FFmpeg does not decode animated WebP. Knows no address.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageSequence

from stream.errors import SourceUnreadable
from stream.frame import Pixels
from stream.printable import printable
from stream.sources.picture import MAX_PIXELS, named_failures, open_file, opened, to_pixels

log = logging.getLogger(__name__)

FORMATS = ("GIF", "PNG", "WEBP")  # others hold pages or views in one file, not times
TOO_SHORT, INSTEAD = 0.010, 0.100  # seconds: no browser shows a picture for so short a time, they all take this
AGAIN = 1.0  # seconds after which a picture that is still shown comes again, so that its time is no hole


def is_animation(path: Path) -> bool:
    """By what is in it, whatever its name."""
    if not path.is_file():  # a pipe can be read once only
        return False
    try:
        with named_failures(str(path)), open_file(path, FORMATS) as image:
            return getattr(image, "is_animated", False)
    except SourceUnreadable:  # no picture of these kinds: whoever reads it says what is wrong
        return False


def shown(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[float, Pixels]]:
    """(seconds since the beginning, picture). Raises SourceUnreadable if there is not one."""
    name, at, count = printable(str(path)), 0.0, 0
    try:
        with opened(path, name, max_pixels) as image:
            for picture in _pictures(image):
                pixels, lasts = to_pixels(picture), _seconds(picture)
                for late in range(max(1, -int(-lasts // AGAIN))):
                    yield at + late * AGAIN, pixels
                at, count = at + lasts, count + 1
    except SourceUnreadable as error:
        if not count:
            raise
        log.warning("%s breaks off after %d pictures: %s", name, count, error)


def _pictures(image: Image.Image) -> Iterator[Image.Image]:
    for number, picture in enumerate(ImageSequence.Iterator(image)):
        if number == 0 and getattr(image, "default_image", False):
            continue  # for viewers that know no animated PNG
        picture.load()  # some decoders know the duration only then
        yield picture


def _seconds(picture: Image.Image) -> float:
    lasts = float(picture.info.get("duration") or 0) / 1000
    return lasts if lasts > TOO_SHORT else INSTEAD
