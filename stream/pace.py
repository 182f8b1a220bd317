"""How far apart the frames of a live camera are taken, so that an engine slower than the camera keeps up with it.

Taking every group would make answers older and older, or, where the oldest are dropped, windows full of gaps. So the
spacing grows by whole steps of the grid until a group comes no more often than the engine can see and answer, and
shrinks again when there is time to spare. It changes seldom, because a window begins anew with it (TIMING.md).

Knows durations, no thread and no clock.
"""

from __future__ import annotations

import math
from collections import deque

FRAMES_PER_GROUP = 2
KEPT = 16  # rounds that count, so that the long one in which a full window slides weighs as much as it takes
TO_GROW = 2  # rounds at least, and while there are no more the shorter counts: the first may have loaded what all need
SPARE = 1.25  # a closer spacing must leave so much time over, or it would soon be given up again
MOST = 64  # steps


class Pace:
    """Of one camera; `fps` are frames per second at a spacing of 1.

    >>> pace = Pace(fps=2.0)
    >>> [pace.after_round(2.5) for _ in range(4)]
    [1, 3, 3, 3]
    """

    def __init__(self, fps: float) -> None:
        self.spacing = 1  # steps of the grid from one frame to the next
        self._step = 1 / fps
        self._rounds: deque[float] = deque(maxlen=KEPT)  # seconds

    def after_round(self, seconds: float) -> int:
        """The spacing from now on. A round sees one group and answers what is due; `seconds` is what it took, with the
        time for which it stood ready while other cameras had their turns."""
        self._rounds.append(seconds)
        usual = min(self._rounds) if len(self._rounds) <= TO_GROW else sum(self._rounds) / len(self._rounds)
        fewest, comfortable = self._needed(usual), self._needed(usual * SPARE)
        if len(self._rounds) >= TO_GROW and fewest > self.spacing:
            self._change(fewest)
        elif len(self._rounds) == KEPT and comfortable < self.spacing:
            self._change(comfortable)
        return self.spacing

    def _needed(self, seconds: float) -> int:
        """Steps between frames at which groups come no more often than this."""
        return max(1, min(math.ceil(seconds / (FRAMES_PER_GROUP * self._step) - 1e-9), MOST))

    def _change(self, spacing: int) -> None:
        self.spacing = spacing
        self._rounds.clear()
