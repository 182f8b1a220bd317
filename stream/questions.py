"""Questions from outside, from any thread, until the thread that owns the engine takes them.

Knows tasks and futures. Whatever happens, every future comes to an end: answered, refused or cancelled.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from stream.errors import NotWatched
from stream.event import Event
from stream.tasks import Task


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    task: Task
    answer: Future[Event] = field(default_factory=Future)

    def resolve(self, ask: Callable[[Task], Event]) -> None:
        """What `ask` says or raises is the asker's: a question that the model cannot take harms nobody else."""
        try:
            self.answer.set_result(ask(self.task))
        except BaseException as error:
            self.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise


class Questions:
    """Those of one stream, the oldest first. Refuses them, with the reason, while nobody would take them."""

    def __init__(self, refusal: str) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Question] = deque()
        self._refusal: str | None = refusal

    def open(self) -> None:
        """From now on questions are taken."""
        with self._lock:
            self._refusal = None

    def put(self, task: Task) -> Future[Event]:
        question = Question(task)
        with self._lock:
            refusal = self._refusal
            if refusal is None:
                self._waiting.append(question)
        if refusal is not None:
            question.answer.set_exception(NotWatched(refusal))
        return question.answer

    def take(self) -> Question | None:
        """The oldest one that still wants an answer, which can no longer be cancelled."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                question = self._waiting.popleft()
            if question.answer.set_running_or_notify_cancel():
                return question

    def close(self, refusal: str) -> None:
        """Refuses those that wait, and all that come. The first reason counts."""
        with self._lock:
            self._refusal = self._refusal or refusal
            waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            if question.answer.set_running_or_notify_cancel():
                question.answer.set_exception(NotWatched(refusal))
