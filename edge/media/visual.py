"""What a conversation shows, read already: the values that the engine is given.

Knows arrays and times. Knows no file, no network and no way to get at either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

VisualKind = Literal["image", "video"]

FramePair = NDArray[np.uint8]
"""One group as the vision tower takes it, shape (2, height, width, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class Visual:
    """A picture or a video, ready for the vision tower."""

    kind: VisualKind
    groups: tuple[FramePair, ...]  # at least one, all of one size
    seconds: tuple[float, ...]  # of each group: when its newest frame is shown; 0.0 for a picture


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """What the template renders, and the pictures and videos in the order of their places in it."""

    messages: tuple[dict[str, Any], ...]
    visuals: tuple[Visual, ...]
