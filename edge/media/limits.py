"""How large pictures may be for a model, read from its folder. Knows numbers only.

Released models write them into preprocessor_config.json and video_preprocessor_config.json; since transformers 5
also into processor_config.json, for pictures and videos apart, and what stands there counts first. Both spellings
are read: min_pixels and max_pixels, and size.shortest_edge and size.longest_edge, which are pixels in all as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.errors import BadMessage, ModelUnreadable
from stream.resize import smart_resize

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """How many pixels a frame may have for the model; others are resized."""

    min_pixels: int
    max_pixels: int

    def __post_init__(self) -> None:
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise BadMessage(
                f"min_pixels is {self.min_pixels} and max_pixels {self.max_pixels}; "
                "they must be at least 1, and the first at most the second."
            )

    def __str__(self) -> str:
        return f"{self.min_pixels} to {self.max_pixels} pixels"


DEFAULT_MAX_PIXELS = 448 * 448  # pixels of a stream's frame, unless told otherwise


@dataclass(frozen=True, slots=True)
class Limits:
    """A model's habits: pixels of a picture, and pixels of each frame of a video."""

    image: PixelLimits
    video: PixelLimits
    largest: int  # pixels that any one frame may have, whatever is asked for
    cell: int  # pixels per side of the square that becomes one token (patch size x merge size)

    @classmethod
    def load(cls, folder: Path, usual: Limits) -> Limits:
        """From the processor files of a model folder; `usual` are its family's, for what it does not name.

        Videos have limits of their own, unless the model was made for smaller pictures than those.
        """
        image = _written(folder, "image_processor", "preprocessor_config.json", usual.image)
        video = _written(folder, "video_processor", "video_preprocessor_config.json", usual.video)
        if image is None and video is None:
            log.info("%s says nothing of the size of pictures; its family's limits are used: %s", folder, usual)
        image = image or usual.image
        is_small = image.max_pixels < usual.video.max_pixels
        return replace(usual, image=image, video=video or (image if is_small else usual.video))

    def __str__(self) -> str:
        return f"pictures of {self.image}, frames of videos of {self.video}"

    def frame_size(self, height: int, width: int, *, max_pixels: int) -> tuple[int, int]:
        """(height, width) at which a stream's frames are looked at: as the model likes videos, within `max_pixels`."""
        most = min(self.video.max_pixels, max_pixels)
        least = min(self.video.min_pixels, most)
        return smart_resize(height, width, factor=self.cell, min_pixels=least, max_pixels=most)


def _written(folder: Path, nested: str, name: str, usual: PixelLimits) -> PixelLimits | None:
    """The limits in a folder's processor files; None where they are not written down."""
    for path, keys in ((folder / "processor_config.json", (nested,)), (folder / name, ())):
        try:
            fields = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for key in keys:
                fields = fields.get(key) or {}
            if found := _limits_in(fields, usual):
                return found
        except (ValueError, TypeError, AttributeError, BadMessage) as error:
            raise ModelUnreadable(f"{path} does not hold readable pixel limits: {error}. Fetch it again.") from None
        except OSError as error:
            raise ModelUnreadable(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    return None


def _limits_in(fields: Mapping[str, Any], usual: PixelLimits) -> PixelLimits | None:
    """In either of transformers' spellings; where one of the two is missing, it is the usual one, or the other."""
    size = fields.get("size") or {}
    low = fields.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels")
    high = fields.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels")
    if not low and not high:
        return None
    high = int(high or max(usual.max_pixels, int(low or 0)))
    return PixelLimits(int(low or min(usual.min_pixels, high)), high)
