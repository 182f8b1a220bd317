"""One camera's thread: source -> sampler -> mailbox, every frame counted in the ledger from its coming to its end.

Knows frames and groups, not what is asked of them. The thread that owns the engine takes groups, and says of
each when it is analysed; until then its frames are pending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from stream.errors import BadPicture
from stream.frame import Frame, Group
from stream.ledger import BAD_PICTURE, OVERRUN, STOPPED, Ledger
from stream.mailbox import Mailbox, num_frames
from stream.sampler import FrameSampler
from stream.sources import Source

log = logging.getLogger(__name__)

FILE_ROOM = 2  # groups read ahead of the engine from a file
JOIN_TIMEOUT = 2.0  # seconds; a reader wedged in a native read is left behind, it is a daemon thread


class Reader:
    """Reads one source from `start` to `close`."""

    def __init__(
        self,
        source: Source,
        sampler: FrameSampler,
        room: int,  # groups of a live source that may wait for the engine
        *,
        on_arrival: Callable[[], None] = lambda: None,  # there is something to take; from the reader's thread
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ledger = Ledger(self._pending)
        self._source = source
        self._sampler = sampler
        self._mailbox = Mailbox(
            room if source.live else FILE_ROOM,
            source.live,
            lock=self.ledger.lock,
            on_drop=self.ledger.drop,
            on_arrival=on_arrival,
            clock=clock,
        )
        self._thread = threading.Thread(target=self._read, name=f"reader of {source.name}", daemon=True)
        self._unfinished = 0  # frames in the sampler
        self._taken = 0  # frames taken from the mailbox, not yet analysed
        self._shut = False  # after this the thread hands over nothing

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def reconnects(self) -> int:
        """How often the source had to connect again, if it is of the kind that can."""
        return int(getattr(self._source, "reconnects", 0))

    @property
    def clock_restarts(self) -> int:
        """How often a file's own time began again."""
        return int(getattr(self._source, "clock_restarts", 0))

    @property
    def trouble(self) -> str | None:
        """What keeps a source away that is waited for, or connected to again; None while pictures come."""
        status = getattr(self._source, "status", None)
        return None if status is None else status.error

    @property
    def _unread(self) -> int:
        """Frames that a source holds and nobody takes any more, if it is of the kind that holds some."""
        return int(getattr(self._source, "unread", 0))

    @property
    def video_seconds(self) -> float:
        return self._sampler.seconds

    @property
    def spacing(self) -> int:
        """Steps of the sampler's grid between two frames, of the groups to come."""
        return self._sampler.spacing

    @spacing.setter
    def spacing(self, steps: int) -> None:
        self._sampler.spacing = steps

    @property
    def ended(self) -> bool:
        """The source has ended, and everything was taken."""
        return self._mailbox.ended

    @property
    def waiting_since(self) -> float:
        """On the clock: from when on there was something to take, the end included; infinite while nothing is."""
        return self._mailbox.waiting_since

    # For the engine's thread

    def start(self) -> None:
        self._thread.start()

    def take(self) -> list[Group]:
        """From a live source all that wait, from a file one; never waits. Raises the source's error after the rest."""
        with self.ledger.lock:
            groups = self._mailbox.take(None if self.live else 1)
            self._taken += num_frames(groups)
            return groups

    def analysed(self, group: Group) -> None:
        """The group has reached the model's context."""
        with self.ledger.lock:
            self._taken -= group.num_frames
            self.ledger.analyse(group.num_frames)

    def close(self) -> None:
        """Closes the source, waits for the thread as long as is sensible, and drops what was not analysed."""
        self._mailbox.close()
        self._close_source()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT)
        with self.ledger.lock:
            self._shut = True
            self._mailbox.discard(STOPPED)
            self.ledger.drop(STOPPED, self._unfinished + self._taken)
            self._unfinished = self._taken = 0

    def _close_source(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # the numbers and the sinks' last words matter more than a bad goodbye
            log.warning("%s did not close: %s: %s", self._source.name, type(error).__name__, error)

    def _pending(self) -> int:
        return self._unfinished + self._mailbox.pending + self._taken

    # The thread

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for frame in self._source:
                if not self._receive(frame):
                    break
        except BaseException as caught:  # the engine's thread raises it, after what was read before it
            error = caught
        try:
            self._hand_over_the_rest()
        except BaseException as caught:
            error = error or caught
        finally:
            self._mailbox.close(error)  # whatever happened: somebody waits for the end

    def _receive(self, frame: Frame) -> bool:
        """Brings one frame into the mailbox or the ledger; False when no more is wanted."""
        try:
            groups = self._sampler.push(frame)  # resizes, and so is done before the lock is taken
        except BadPicture:
            self.ledger.receive(BAD_PICTURE)
            raise
        with self.ledger.lock:
            if self._shut:
                return False
            for _ in range(frame.superseded):
                self.ledger.receive(OVERRUN)
            if not frame.held:
                self.ledger.receive(self._sampler.refused)
            self.ledger.change_resolution(self._sampler.resolution_changes)
            self._unfinished = self._sampler.pending
            return self._mailbox.put(groups)

    def _hand_over_the_rest(self) -> None:
        with self.ledger.lock:
            if not self._shut:
                rest = self._sampler.flush()
                self._unfinished = 0
                self._mailbox.put(rest)
                for _ in range(self._unread):
                    self.ledger.receive(STOPPED)
