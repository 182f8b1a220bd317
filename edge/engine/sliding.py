"""How a full window makes room, and how many groups it needs so that answers always look back far enough.

A full window goes back to its newest half (context.py says why). So a window of `max_groups` holds between about a half
of them and all: whoever wants to hear of the last eight seconds, always, keeps up to nearly twice as much.
"""

from __future__ import annotations

import math

FRAMES_PER_GROUP = 2
ROUNDING = 1e-9  # of a frame: a span on the grid is a quotient, and may lie a hair above a whole number


def groups_kept(max_groups: int) -> int:
    """Of a full window when the next group comes, which is not counted."""
    return max_groups // 2 if max_groups > 1 else 0


def groups_for(seconds: float, fps: float) -> int:
    """The smallest `max_groups` at which a window that was full never spans less than `seconds`.

    >>> groups_for(8.0, fps=2.0), guaranteed_seconds(16, fps=2.0)
    (16, 8.5)
    """
    fewest = max(1, math.ceil((seconds * fps + 1 - ROUNDING) / FRAMES_PER_GROUP))
    return max(1, 2 * (fewest - 1))


def guaranteed_seconds(max_groups: int, fps: float) -> float:
    """From the oldest frame of a window to its newest, at least, once it was full."""
    return (FRAMES_PER_GROUP * (groups_kept(max_groups) + 1) - 1) / fps
