"""What became of every frame: received = analysed + dropped + pending, at every moment.

Knows numbers and reasons. Knows no frame, no thread and no policy.
The frames that are still on their way are counted by whoever holds them, so that the law is a real check.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

OVERRUN = "overrun"  # live: newer groups took the place
STOPPED = "stopped"  # left over when the watching ended
BAD_PICTURE = "bad_picture"  # a picture that the model cannot take


class FramesUnaccounted(AssertionError):
    """A frame was lost or counted twice: a defect of this program, never of the source."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger at one moment, in frames received from the source unless named otherwise."""

    received: int
    sampled: int  # frames that filled a slot of the grid
    analysed: int  # frames that reached the model's context
    dropped: dict[str, int]  # by reason
    pending: int
    num_groups: int  # groups analysed
    resolution_changes: int


class Ledger:
    """Counts of one stream. Whoever moves frames from hand to hand does so, whole, under `lock`."""

    def __init__(self, pending: Callable[[], int] = lambda: 0) -> None:
        # Reentrant, so that one move may span the ledger and the mailbox.
        self.lock = threading.RLock()
        self._pending = pending
        self._received = 0
        self._sampled = 0
        self._analysed = 0
        self._num_groups = 0
        self._resolution_changes = 0
        self._dropped: Counter[str] = Counter()

    def receive(self, refused: str | None = None) -> None:
        """One frame came from the source; `refused` says why it was dropped at once."""
        with self.lock:
            self._received += 1
            if refused is None:
                self._sampled += 1
            else:
                self._dropped[refused] += 1

    def drop(self, reason: str, num_frames: int) -> None:
        """Sampled frames that will not be analysed. A group of repetitions only counts no frame."""
        with self.lock:
            if num_frames:
                self._dropped[reason] += num_frames

    def analyse(self, num_frames: int) -> None:
        """One group reached the model's context."""
        with self.lock:
            self._analysed += num_frames
            self._num_groups += 1

    def change_resolution(self, total: int) -> None:
        """The source has changed its picture size `total` times so far."""
        with self.lock:
            self._resolution_changes = total

    def counts(self) -> Counts:
        with self.lock:
            return Counts(
                received=self._received,
                sampled=self._sampled,
                analysed=self._analysed,
                dropped=dict(self._dropped),
                pending=self._pending(),
                num_groups=self._num_groups,
                resolution_changes=self._resolution_changes,
            )

    def check(self) -> Counts:
        """The counts, if the law holds."""
        counts = self.counts()
        found = counts.analysed + sum(counts.dropped.values()) + counts.pending
        if counts.received != found or counts.pending < 0:
            raise FramesUnaccounted(f"{counts.received} frames received, {found} accounted for: {counts}")
        return counts
