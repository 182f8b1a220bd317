"""Many sessions on the one thread that owns the engine, the most overdue first.

A session is overdue by the time for which it has had something to do: since the first of its waiting groups came
(or its end), or since its last step ended, if that left something over. Whoever was served is thereby behind all
that waited meanwhile: nobody waits for more than one step of each of the others, however much those have to do.
What a live source dropped meanwhile makes nobody wait longer. `every` decides what a step does (see, or also say),
not when it comes.

Knows no engine and no frame. Sleeps until a session calls, or until the earliest moment known.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from stream.session import Session, Step
from stream.wakeup import Wakeup

log = logging.getLogger(__name__)

GOODBYES = 16  # sessions that close at the same time: a bad goodbye takes seconds, the others are watched meanwhile


def report(session: Session) -> None:
    """One line for each session that is over."""
    if session.error is None:
        log.info("%s is over: %s", session.name, session.summary().ended)
    else:
        log.warning("%s is over: %s", session.name, session.error)


class Scheduler:
    """Sessions come and go, from any thread, while `run` steps them. Runs once; all use the scheduler's clock."""

    def __init__(
        self,
        sessions: Iterable[Session] = (),
        *,
        on_open: Callable[[Session], object] = lambda session: None,  # in the thread of `run`: it takes questions now
        on_end: Callable[[Session], None] = report,  # there too, once the session is closed
        on_turn: Callable[[], object] = lambda: None,  # there too, over and over: whatever happens, it goes on
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_open = on_open
        self._on_end = on_end
        self._on_turn = on_turn
        self._clock = clock
        self._wakeup = Wakeup()
        self._lock = threading.Lock()  # of the two below
        self._new = list(sessions)
        self._is_over = False
        self._open: list[Session] = []
        self._closing: dict[Session, Future[None]] = {}
        self._goodbyes = ThreadPoolExecutor(GOODBYES, thread_name_prefix="goodbye")
        self._stop_asked = False

    # For any thread

    def add(self, session: Session) -> None:
        """A session that is not open yet."""
        with self._lock:
            if self._is_over:
                raise RuntimeError(f"{session.name} comes too late: the scheduler has ended. Make another one.")
            self._new.append(session)
        self._wakeup.set()

    def remove(self, session: Session) -> None:
        """Ends this session soon, and reports it."""
        session.stop()
        self._wakeup.set()

    def wake(self) -> None:
        """Has it take a turn, though there may be nothing to do."""
        self._wakeup.set()

    def stop(self) -> None:
        """Ends all sessions soon, from any thread or signal handler: takes no lock."""
        self._stop_asked = True
        self._wakeup.set()

    # The thread that owns the engine

    def run(self, *, forever: bool = False) -> None:
        """Until every session is over, or `stop`; `forever`: waits for further sessions.

        A session whose source fails ends alone. Any other error is a defect: it ends all, and is raised.
        """
        try:
            while not self._stop_asked and (forever or self._has_sessions()):
                self._on_turn()
                self._open_new()
                answered = self._answer_questions()
                if not self._step_most_overdue() and not answered:
                    self._wakeup.wait(self._next_moment() - self._clock())
                self._report_closed()
        finally:
            self._close_all()

    def _has_sessions(self) -> bool:
        return bool(self._new or self._open or self._closing)

    def _open_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        self._open += new  # first: whatever happens, they are closed
        for session in new:
            session.open(self._wakeup.set)
            self._on_open(session)

    def _answer_questions(self) -> bool:
        """One of each session: people wait for them, and many of them must not keep the cameras waiting."""
        return any([session.answer_question() for session in self._open])

    def _step_most_overdue(self) -> bool:
        session = min(self._open, key=Session.ready_at, default=None)
        if session is None or session.ready_at() > self._clock():
            return False
        self._open.remove(session)
        self._open.append(session)  # where two wait equally long, the one that was served last comes last
        if session.step() is Step.ENDED:
            self._open.remove(session)
            self._part_with(session)
        return True

    def _next_moment(self) -> float:
        return min((session.ready_at() for session in self._open), default=float("inf"))

    # The end. Each session comes to its own, whatever another one raises: an exit stack calls all, and raises then.

    def _part_with(self, session: Session) -> None:
        """The engine's part here and now, the rest where it keeps nobody waiting."""
        try:
            session.release()
        finally:
            self._closing[session] = self._goodbyes.submit(session.close)
            self._closing[session].add_done_callback(lambda _: self._wakeup.set())

    def _report_closed(self) -> None:
        with ExitStack() as reports:
            for session in [session for session, closed in self._closing.items() if closed.done()]:
                reports.callback(self._report, session, self._closing.pop(session))

    def _report(self, session: Session, closed: Future[None]) -> None:
        with ExitStack() as checks:
            checks.callback(self._on_end, session)
            checks.callback(session.ledger.check)
            checks.callback(closed.result)

    def _close_all(self) -> None:
        with self._lock:
            self._is_over = True
            left, self._open, self._new = [*self._open, *self._new], [], []
        with ExitStack() as ends:
            ends.callback(self._report_closed)
            ends.callback(self._goodbyes.shutdown, wait=True)
            for session in left:
                ends.callback(self._part_with, session)
