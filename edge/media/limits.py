"""How large pictures may be for a model, read from its folder. Knows numbers only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge.errors import BadMessage, ModelUnreadable
from stream.resize import CELL, smart_resize


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


LOOKED_AT = 448 * 448  # pixels of a stream's frame, unless told otherwise: 256 tokens for two frames
MOST_PIXELS = 16384 * 28 * 28  # of one frame, in Qwen2-VL's own processor
IMAGE = PixelLimits(56 * 56, 1280 * 28 * 28)
VIDEO = PixelLimits(128 * 28 * 28, 768 * 28 * 28)  # qwen-vl-utils' and transformers' own


@dataclass(frozen=True, slots=True)
class Limits:
    """A model's habits: pixels of a picture, and pixels of each frame of a video."""

    image: PixelLimits = IMAGE
    video: PixelLimits = VIDEO
    cell: int = CELL  # pixels per side of one token

    @classmethod
    def load(cls, folder: Path) -> Limits:
        """From the processor files of a model folder.

        Videos have limits of their own, unless the model was made for smaller pictures than those.
        """
        image = _limits_in(folder / "preprocessor_config.json") or IMAGE
        video = _limits_in(folder / "video_preprocessor_config.json")
        return cls(image, video or (image if image.max_pixels < VIDEO.max_pixels else VIDEO))

    def frame_size(self, height: int, width: int, *, max_pixels: int) -> tuple[int, int]:
        """(height, width) at which a stream's frames are looked at: as the model likes videos, within `max_pixels`."""
        most = min(self.video.max_pixels, max_pixels)
        least = min(self.video.min_pixels, most)
        return smart_resize(height, width, factor=self.cell, min_pixels=least, max_pixels=most)


def _limits_in(path: Path) -> PixelLimits | None:
    """The limits in a processor file, in either of transformers' spellings."""
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        size = fields.get("size") or {}
        low = fields.get("min_pixels") or size.get("shortest_edge") or size.get("min_pixels")
        high = fields.get("max_pixels") or size.get("longest_edge") or size.get("max_pixels")
        return PixelLimits(int(low), int(high)) if low and high else None
    except (ValueError, TypeError, AttributeError, BadMessage) as error:
        raise ModelUnreadable(f"{path} does not hold readable pixel limits: {error}. Fetch it again.") from None
