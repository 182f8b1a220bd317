"""Messages as clients send them, with pictures and videos of one shade."""

from __future__ import annotations

import numpy as np

from edge.media.limits import Limits, PixelLimits
from edge.models.qwen2_vl import QWEN2_VL

LIMITS = Limits(PixelLimits(28 * 28, 200 * 200), PixelLimits(28 * 28, 200 * 200), QWEN2_VL.limits.largest, 28)


def picture(shade: int = 0, height: int = 56, width: int = 84) -> dict:
    return {"type": "image", "image": np.full((height, width, 3), shade, np.uint8)}


def video(shade: int = 0, frames: int = 4) -> dict:
    return {"type": "video", "video": np.full((frames, 56, 84, 3), shade, np.uint8)}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def user(*content) -> dict:
    return {"role": "user", "content": list(content)}


def assistant(words: str) -> dict:
    return {"role": "assistant", "content": words}
