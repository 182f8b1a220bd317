"""One watched camera as steps: groups in, events out.

A reader thread brings groups. Whoever owns the engine opens the session, steps it and closes it: alone with
`run`, many in turn with a `Scheduler`. Between two steps it answers questions from outside. Knows no model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum, auto

from stream.asking import Asker, Engine
from stream.changes import Changes
from stream.crop import WHOLE, Crop
from stream.errors import Stalled, StreamError
from stream.event import Event
from stream.frame import Group, Pixels
from stream.ledger import STOPPED
from stream.pace import Pace
from stream.questions import Questions
from stream.reader import Reader
from stream.sampler import ChooseSize, FrameSampler
from stream.sinks import Sink
from stream.sinks.fanout import FanOut
from stream.sources import Source
from stream.summary import Summary, percentile
from stream.tasks import Task
from stream.tasks.describe import Describe
from stream.timetable import Timetable
from stream.wakeup import Wakeup

END_OF_FILE = "end of file"
DURATION = "duration"
DEFECT = "defect"


class Step(Enum):
    """What came of one step."""

    WORKED = auto()  # something was done; there may be more
    IDLE = auto()  # nothing was to be done; `ready_at` and the wake-up given to `open` say when there is
    ENDED = auto()  # the watching is over: close the session


def no_text(task: Task, piece: str) -> None:
    """Nobody watches the answers while they are made."""


class Session:
    """Watches one source with one engine, asks its tasks, tells its sinks. Is opened once.

    `open`, `step`, `answer_question` and `release` are for the thread that owns the engine, and so is `close` unless
    `release` came before it. The rest is for any thread.
    """

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
        crop: Crop = WHOLE,  # the part of each picture that the model sees; boxes are of the whole picture all the same
        pace: Pace | None = None,  # of a live source: takes frames further apart where the engine is slower than `fps`
        only_changes: bool = False,  # the sinks hear only what differs from what they heard before (changes.py)
        max_age: float | None = None,  # seconds; an answer that is older when it comes is marked as stale
        on_text: Callable[[Task, str], None] = no_text,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if window < 1:
            raise ValueError(f"window {window} groups: a window has at least 1 group.")
        self.name = name or source.name
        self.error: StreamError | None = None  # what has ended the session, if not its own end
        sampler = FrameSampler(fps, size, choose_size=choose_size, crop=crop)
        self._reader = Reader(source, sampler, window, on_arrival=self._notify, clock=clock)
        self.ledger = self._reader.ledger
        self._sinks = FanOut(sinks, on_room=self._notify, on_unread=self.stop, clock=clock)
        self._asker = Asker(
            self.name,
            engine,
            tasks,
            publish=self._publish,
            on_text=on_text,
            is_stopped=lambda: self._stop_asked,
            clock=clock,
            crop=crop,
            wall_clock=wall_clock,
            max_age=max_age,
        )
        self._changes = Changes() if only_changes else None
        self._num_unchanged = 0
        self._questions = Questions(f"{self.name} is not watched yet. Ask once its session is open.")
        self._window = window
        self._pace = pace if source.live else None
        self._timetable = Timetable(every, duration)
        self._clock = clock
        self._wake: Callable[[], None] = lambda: None
        self._stop_asked = False
        self._ended: str | None = None
        self._started: float | None = None  # on the clock, like all that follow
        self._stepped = -math.inf
        self._finished: float | None = None

    # The story

    def run(self) -> Summary:
        """Watches until the source ends or fails, `duration` is over or `stop` is called.

        A source's error ends in `error` and in the summary; any other is a defect and is raised.
        """
        wakeup = Wakeup()
        self.open(wakeup.set)
        try:
            while (step := self.step()) is not Step.ENDED:
                if step is Step.IDLE:
                    wakeup.wait(self.ready_at() - self._clock())
        finally:
            self.close()
        self.ledger.check()
        return self.summary()

    def open(self, wake: Callable[[], None]) -> None:
        """Begins to watch. `wake` is called, from any thread, whenever there may be something to do."""
        if self._started is not None:
            raise RuntimeError(f"The session of {self.name} has run already: open another one.")
        self._started = self._clock()
        self._timetable.start(self._started)
        self._wake = wake
        try:
            self._asker.open(self._window)
            self._reader.start()
            self._questions.open()
        except StreamError as error:
            self._fail(error)
        except BaseException:
            self._end(DEFECT)
            self.close()
            raise

    def step(self) -> Step:
        """One round of the engine's work, without waiting for more of it.

        Takes what waits (from a live source everything, from a file one group), asks every task if an answer is
        due, and answers one question from outside.
        """
        if self._started is None:
            raise RuntimeError(f"The session of {self.name} is not open.")
        worked = False
        try:
            worked = self._round()
            worked = self.answer_question() or worked
        except StreamError as error:
            self._fail(error)
        except Exception:
            self._end(DEFECT)
            raise
        self._stepped = self._clock()
        if self._ended is not None:
            return Step.ENDED
        return Step.WORKED if worked else Step.IDLE

    def stop(self) -> None:
        """Ends the watching soon, from any thread or signal handler: takes no lock."""
        self._stop_asked = True
        self._notify()

    def close(self) -> None:
        """Says goodbye to the source and delivers what waits for the sinks: takes seconds, at worst. Idempotent."""
        if self._finished is not None:
            return
        self.release()
        self._reader.close()
        self._sinks.close()
        self._finished = self._clock()

    def release(self) -> None:
        """The first part of `close`, which is quick: gives back the engine's memory, refuses further questions."""
        self._end(STOPPED)
        self._questions.close(f"{self.name} is not watched any more ({self._ended}). Open another session.")
        self._asker.close()

    def ready_at(self) -> float:
        """Since when there has been something to do, on the clock; later than now: when there will be.

        Infinite if that is not known: `wake` tells. What a step has left over waits since the end of that step,
        so that whoever serves the one that waits longest serves all.
        """
        if self._stop_asked or self._ended is not None:
            return -math.inf
        waiting = max(self._reader.waiting_since, self._stepped, self._resting_until())
        return min(waiting, self._timetable.deadline(self._reader.live))

    # Questions from outside

    def ask(self, question: Task | str) -> Future[Event]:
        """Asks about the window as it stands, between two steps; from any thread. Nothing is seen again for it.

        A text is asked as it is, and answered in words. The answer is not published, its `seq` is -1. The future
        always ends: with NotWatched before the session is open and once it has ended, with NoPictureYet before the
        first group, with what the engine raises.
        """
        task = Describe(question) if isinstance(question, str) else question
        answer = self._questions.put(task)
        self._notify()
        return answer

    def answer_question(self) -> bool:
        """Answers the oldest question from outside; False when none waits."""
        if self._stop_asked or self._ended is not None:
            return False  # `release` refuses it
        question = self._questions.take()
        if question is None:
            return False
        question.resolve(self._asker.answer_outside)
        return True

    # One round

    def _round(self) -> bool:
        """False when there was nothing to do."""
        if self._stop_asked:
            self._end(STOPPED)
        if self._ended is not None:
            return False
        groups: list[Group] = []
        ready, began = max(self._reader.waiting_since, self._stepped), self._clock()
        try:
            groups = self._next_groups()
            self._analyse(groups)
            seen = self._clock()
            self._answer_if_due()
            if groups and self._pace is not None:
                # As if one group had come: how many do is what the pace decides.
                took = max(0.0, began - ready) + (seen - began) / len(groups) + (self._clock() - seen)
                self._reader.spacing = self._pace.after_round(took)
        except StreamError as error:
            self._fail(error)  # here, because a file's last groups get an answer even when none is due
        if self._ended is not None and not self._reader.live and self._asker.is_unanswered:
            self._asker.answer()
        return bool(groups)

    def _next_groups(self) -> list[Group]:
        """What is to be analysed now; nothing when there is nothing yet, or when the watching is over."""
        if self._resting_until() > self._clock():
            return []
        groups = self._reader.take()
        if not groups and self._reader.ended:
            self._end(END_OF_FILE)
        elif self._is_time_up(groups):
            self._end_by_duration()
        return groups if self._ended is None else []

    def _is_time_up(self, groups: list[Group]) -> bool:
        if self._reader.live:
            return self._clock() >= self._timetable.deadline(live=True)
        return bool(groups) and self._timetable.is_past(groups[0].pts[0])

    def _end_by_duration(self) -> None:
        if self._reader.live and self.ledger.counts().received == 0:
            seconds = self._timetable.duration
            why = f" The last try: {self._reader.trouble}" if self._reader.trouble else ""
            raise Stalled(
                f"{self.name}: not one picture came in {seconds:g} s. Check the camera, or watch for longer.{why}"
            )
        self._end(DURATION)

    def _analyse(self, groups: list[Group]) -> None:
        for group in groups:
            if self._stop_asked:
                return
            self._asker.append(group)
            self._reader.analysed(group)

    def _answer_if_due(self) -> None:
        window = self._asker.window
        if window is None or not self._asker.is_unanswered or self._stop_asked:
            return
        if self._timetable.is_due(window):
            self._timetable.answer(window)
            self._asker.answer()

    def _publish(self, event: Event, picture: Pixels) -> None:
        if self._changes is None or self._changes.is_news(event):
            self._sinks.publish(event, picture)
        else:
            self._num_unchanged += 1

    # The end, the time and the numbers

    def _fail(self, error: StreamError) -> None:
        if self._ended is None:
            self.error = error
        self._end(error.code)

    def _end(self, reason: str) -> None:
        """The first reason counts."""
        self._ended = self._ended or reason

    def _resting_until(self) -> float:
        """A file waits while a sink is behind, so that nothing is lost; a live source does not wait."""
        return -math.inf if self._reader.live else self._sinks.busy_until

    def _notify(self) -> None:
        self._wake()

    def summary(self) -> Summary:
        """The numbers so far, from any thread."""
        counts = self.ledger.counts()
        ages = tuple(self._asker.ages)
        return Summary(
            stream=self.name,
            received=counts.received,
            sampled=counts.sampled,
            analysed=counts.analysed,
            dropped=counts.dropped,
            pending=counts.pending,
            groups=counts.num_groups,
            events=self._asker.num_events,
            sink_errors=self._sinks.errors,
            sink_dropped=self._sinks.dropped,
            resolution_changes=counts.resolution_changes,
            reconnects=self._reader.reconnects,
            clock_restarts=self._reader.clock_restarts,
            video_seconds=round(self._reader.video_seconds, 3),
            age_p50=percentile(ages, 50),
            age_p99=percentile(ages, 99),
            seconds=self._seconds(),
            ended=self._ended or "running",
            error=self._reader.trouble if self.error is None else str(self.error),
            spacing=self._reader.spacing,
            unchanged=self._num_unchanged,
        )

    def _seconds(self) -> float:
        if self._started is None:
            return 0.0
        return (self._clock() if self._finished is None else self._finished) - self._started
