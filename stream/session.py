"""One watched camera: groups in, events out.

Declares the small Engine it needs; knows no model. Two threads: a reader brings frames from the source
through the sampler into the mailbox; the thread that calls `run` owns the engine, asks and publishes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from stream.errors import BadPicture, StreamError
from stream.event import Event
from stream.frame import Frame, Group, Pixels, Window
from stream.ledger import BAD_PICTURE, STOPPED, Ledger
from stream.mailbox import Mailbox, num_frames
from stream.sampler import ChooseSize, FrameSampler
from stream.sinks import Sink
from stream.sinks.fanout import FanOut
from stream.sources import Source
from stream.summary import Summary, percentile
from stream.tasks import Task

log = logging.getLogger(__name__)

END_OF_FILE = "end of file"
DURATION = "duration"

FILE_ROOM = 2  # groups read ahead of the engine from a file
JOIN_TIMEOUT = 2.0  # seconds; a reader wedged in a native read is left behind, it is a daemon thread
SIGNAL_WAIT = 0.5  # seconds; a signal in the instant before a wait is handled by Python only after it
AGES_KEPT = 10_000  # for the percentiles; a camera watched for days must not grow
CLOSE_ENOUGH = 1e-6  # seconds; times on the grid are quotients


class Reply(Protocol):
    """One answer on its way: iterate for pieces of text, then read the rest."""

    def __iter__(self) -> Iterator[str]: ...

    @property
    def text(self) -> str:
        """Everything said so far, special tokens included."""
        ...

    @property
    def finish(self) -> str:
        """ "stop", "length" or "loop"; valid once the iteration has ended."""
        ...

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability of each of the asked `choices` as the answer's first word; they sum to 1."""
        ...


class Context(Protocol):
    """What one stream has in the model's memory."""

    @property
    def window(self) -> Window | None:
        """The groups an answer given now would speak of."""
        ...

    def append(self, group: Group) -> None:
        """Takes the next group. After a gap in the index the window begins anew with it."""
        ...

    def answer(self, prompt: str, choices: tuple[str, ...] = (), max_tokens: int = 128) -> Reply: ...


class Engine(Protocol):
    name: str
    variant: str

    def open(self, max_groups: int) -> Context: ...


def no_text(task: Task, piece: str) -> None:
    """Nobody watches the answers while they are made."""


class Session:
    """Watches one source with one engine, asks its tasks, tells its sinks. Runs once."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        tasks: Sequence[Task],
        sinks: Sequence[Sink] = (),
        *,
        fps: float,
        window: int,  # groups, at most
        size: tuple[int, int] | None = None,  # (height, width) for the model, or
        choose_size: ChooseSize | None = None,  # picks it from the first frame
        every: float = 0.0,  # seconds of video between two answers; 0: as often as the engine can
        name: str | None = None,
        duration: float | None = None,  # seconds: of the wall for a live source, of video for a file
        on_text: Callable[[Task, str], None] = no_text,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if window < 1 or not every >= 0 or not (duration is None or duration >= 0):
            raise ValueError(
                f"window {window} groups, every {every} s, duration {duration} s: "
                "a window has at least 1 group, and times are never negative."
            )
        self.name = name or source.name
        self.ledger = Ledger(self._pending)
        self.error: StreamError | None = None  # the source's, once it has ended the session
        self._source = source
        self._engine = engine
        self._tasks = tuple(tasks)
        self._sinks = FanOut(sinks)
        self._window = window
        self._every = every
        self._duration = duration
        self._on_text = on_text
        self._clock = clock
        self._sampler = FrameSampler(fps, size, choose_size=choose_size)
        self._mailbox = Mailbox(
            window if source.live else FILE_ROOM,
            source.live,
            lock=self.ledger.lock,
            on_drop=self.ledger.drop,
        )
        self._unfinished = 0  # frames in the sampler
        self._in_hand = 0  # frames taken from the mailbox, not yet in the context
        self._shut = False  # after this the reader hands over nothing
        self._ended: str | None = None
        self._started: float | None = None  # monotonic seconds
        self._finished: float | None = None
        self._begin: float | None = None  # pts of the first group
        self._picture: Pixels | None = None  # newest frame in the context
        self._answered: float | None = None  # pts of the newest frame of the newest answer
        self._is_unanswered = False
        self._num_events = 0
        self._ages: deque[float] = deque(maxlen=AGES_KEPT)

    # The story

    def run(self) -> Summary:
        """Watches until the source ends or fails, `duration` is over or `stop` is called.

        A source's error ends in `error` and in the summary; any other is a defect and is raised.
        """
        if self._started is not None:
            raise RuntimeError(f"The session of {self.name} has run already: open another one.")
        self._started = self._clock()
        reader = threading.Thread(target=self._read, name=f"reader of {self.name}", daemon=True)
        try:
            context = self._engine.open(self._window)
            reader.start()
            self._watch(context)
        finally:
            self._shut_down(reader)
        self.ledger.check()
        return self.summary()

    def stop(self) -> None:
        """Ends the run soon, from any thread or signal handler."""
        self._end(STOPPED)

    def summary(self) -> Summary:
        """The numbers so far, from any thread."""
        counts = self.ledger.counts()
        ages = tuple(self._ages)
        return Summary(
            stream=self.name,
            received=counts.received,
            sampled=counts.sampled,
            analysed=counts.analysed,
            dropped=counts.dropped,
            pending=counts.pending,
            groups=counts.num_groups,
            events=self._num_events,
            sink_errors=self._sinks.errors,
            resolution_changes=counts.resolution_changes,
            reconnects=int(getattr(self._source, "reconnects", 0)),
            clock_restarts=int(getattr(self._source, "clock_restarts", 0)),
            video_seconds=round(self._sampler.seconds, 3),
            age_p50=percentile(ages, 50),
            age_p99=percentile(ages, 99),
            seconds=self._seconds(),
            ended=self._ended or "running",
            error=None if self.error is None else str(self.error),
        )

    # The engine's thread

    def _watch(self, context: Context) -> None:
        try:
            while groups := self._next_groups():
                self._analyse(context, groups)
                if self._is_due(context):
                    self._answer(context)
        except StreamError as error:
            if self._end(error.code):
                self.error = error
        if self._is_unanswered and not self._source.live and self._ended != STOPPED:
            self._answer(context)  # a file's last groups get an answer even when none is due

    def _next_groups(self) -> list[Group]:
        """One round's work, now in hand; nothing when the watching is over."""
        with self.ledger.lock:
            groups = self._wait_for_groups()
            self._in_hand += num_frames(groups)
            if not groups:
                self._end(END_OF_FILE if self._mailbox.ended else DURATION)
            elif self._is_past_duration(groups[0]):
                self._end(DURATION)
            return [] if self._ended else groups

    def _wait_for_groups(self) -> list[Group]:
        """From a live source all that wait, from a file one; nothing at the end or when time is up."""
        while True:
            left = self._time_left()
            groups = self._mailbox.take(None if self._source.live else 1, timeout=min(left, SIGNAL_WAIT))
            if groups or self._mailbox.ended or left <= SIGNAL_WAIT:
                return groups

    def _analyse(self, context: Context, groups: list[Group]) -> None:
        for group in groups:
            if self._ended:
                return
            context.append(group)
            self._picture = group.picture
            self._is_unanswered = True
            with self.ledger.lock:
                self._in_hand -= group.num_frames
                self.ledger.analyse(group.num_frames)

    def _is_due(self, context: Context) -> bool:
        if self._ended or context.window is None:
            return False
        return self._answered is None or context.window.end - self._answered >= self._every - CLOSE_ENOUGH

    def _answer(self, context: Context) -> None:
        """Asks every task about the window as it stands."""
        window = context.window
        if window is None:
            return
        self._answered, self._is_unanswered = window.end, False
        for task in self._tasks:
            event = self._ask(task, context, window)
            if event is None:
                return
            self._publish(event)

    def _ask(self, task: Task, context: Context, window: Window) -> Event | None:
        """The task's answer; None if `stop` came before it was complete."""
        reply = context.answer(task.prompt(), task.choices, task.max_tokens)
        for piece in reply:
            if self._ended == STOPPED:
                return None
            self._on_text(task, piece)
        finding = task.parse(reply.text, reply.probabilities if task.choices else {})
        return Event(
            stream=self.name,
            task=task.name,
            seq=self._num_events,
            groups=(window.first, window.last),
            start=window.start,
            end=window.end,
            clock=window.clock,
            age=self._clock() - window.captured,
            text=finding.text,
            finish=reply.finish,
            boxes=finding.boxes,
            answer=finding.answer,
            p_yes=finding.p_yes,
            model=self._engine.name,
            variant=self._engine.variant,
        )

    def _publish(self, event: Event) -> None:
        assert self._picture is not None  # an event speaks of a window, and a window has groups
        self._num_events += 1
        self._ages.append(event.age)
        self._sinks.publish(event, self._picture)

    # The reader's thread

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for frame in self._source:
                if not self._receive(frame):
                    break
        except BaseException as caught:  # the engine's thread raises it, after what was read before it
            error = caught
        finally:
            self._hand_over_the_rest()
            self._mailbox.close(error)

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
            if not frame.held:
                self.ledger.receive(self._sampler.refused)
            self.ledger.change_resolution(self._sampler.resolution_changes)
            self._unfinished = self._sampler.pending
            return self._mailbox.put(groups)

    def _hand_over_the_rest(self) -> None:
        with self.ledger.lock:
            if not self._shut:
                self._unfinished = 0
                self._mailbox.put(self._sampler.flush())

    # The end

    def _end(self, reason: str) -> bool:
        """The first reason counts."""
        with self.ledger.lock:
            first = self._ended is None
            self._ended = self._ended or reason
            self._mailbox.close()
            return first

    def _shut_down(self, reader: threading.Thread) -> None:
        self._mailbox.close()
        self._close_source()
        if reader.is_alive():
            reader.join(JOIN_TIMEOUT)
        with self.ledger.lock:
            self._shut = True
            self._mailbox.discard(STOPPED)
            self.ledger.drop(STOPPED, self._unfinished + self._in_hand)
            self._unfinished = self._in_hand = 0
        self._sinks.close()
        self._finished = self._clock()

    def _close_source(self) -> None:
        try:
            self._source.close()
        except Exception as error:  # the numbers and the sinks' last words matter more than a bad goodbye
            log.warning("%s did not close: %s: %s", self.name, type(error).__name__, error)

    # Counting and time

    def _pending(self) -> int:
        return self._unfinished + self._mailbox.pending + self._in_hand

    def _seconds(self) -> float:
        if self._started is None:
            return 0.0
        return (self._clock() if self._finished is None else self._finished) - self._started

    def _time_left(self) -> float:
        """How long to wait for groups: without end, except for a live source with a duration."""
        if self._duration is None or not self._source.live:
            return math.inf
        return max(0.0, self._duration - self._seconds())

    def _is_past_duration(self, group: Group) -> bool:
        if self._duration is None:
            return False
        if self._source.live:
            return self._seconds() >= self._duration
        if self._begin is None:
            self._begin = group.pts[0]
        return group.pts[0] - self._begin >= self._duration - CLOSE_ENOUGH
