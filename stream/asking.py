"""Tasks are asked about a stream's window as it stands; what comes of it are events.

Declares the small Engine that takes. Knows no camera and no thread, and not when an answer is due.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from stream.crop import WHOLE, Crop
from stream.errors import NoPictureYet, NotWatched
from stream.event import Event, rfc3339
from stream.event_id import next_id
from stream.frame import Group, Pixels, Window
from stream.tasks import Task
from stream.tasks.geometry import Picture

AGES_KEPT = 10_000  # for the percentiles; a camera watched for days must not grow
OUTSIDE = -1  # the number of an event that is none of the stream's own


class Reply(Protocol):
    """One answer on its way: iterate for pieces of text, then read the rest."""

    def __iter__(self) -> Iterator[str]: ...

    @property
    def text(self) -> str:
        """Everything said so far, special tokens included."""
        ...

    @property
    def finish(self) -> str:
        """ "stop", "length", "loop" or "cancelled"; valid once the iteration has ended."""
        ...

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability of each of the asked `choices` as the answer's first word; they sum to 1."""
        ...

    @property
    def accepted(self) -> int:
        """Tokens so far that a draft had right, which took no pass of their own."""
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

    def close(self) -> None:
        """Gives back the memory; nothing is asked afterwards. Idempotent."""
        ...


class Engine(Protocol):
    name: str
    variant: str

    def open(self, max_groups: int) -> Context: ...


class Asker:
    """One stream's place in the engine: what was seen, and what is said of it. For the thread that owns the engine."""

    def __init__(
        self,
        stream: str,
        engine: Engine,
        tasks: Sequence[Task],
        *,
        publish: Callable[[Event, Pixels], None],
        on_text: Callable[[Task, str], None],
        is_stopped: Callable[[], bool],  # looked at between two pieces of text
        clock: Callable[[], float],
        wall_clock: Callable[[], float],  # seconds since 1970
        crop: Crop = WHOLE,  # what the groups show of their pictures
        max_age: float | None = None,  # seconds; an event that is older is marked
    ) -> None:
        self._max_age = math.inf if max_age is None else max_age
        self.num_events = 0
        self.ages: deque[float] = deque(maxlen=AGES_KEPT)  # of the newest events, in seconds
        self.is_unanswered = False  # something was seen since the newest answer
        self._stream = stream
        self._engine = engine
        self._tasks = tuple(tasks)
        self._publish = publish
        self._on_text = on_text
        self._is_stopped = is_stopped
        self._clock = clock
        self._crop = crop
        self._wall_clock = wall_clock
        self._time = ""  # of the newest frame in the context, by the wall clock
        self._context: Context | None = None
        self._picture: Pixels | None = None  # newest frame in the context
        self._looked_at: Picture | None = None  # the same at the model's size

    @property
    def window(self) -> Window | None:
        """What an answer given now would speak of."""
        return None if self._context is None else self._context.window

    def open(self, max_groups: int) -> None:
        self._context = self._engine.open(max_groups)

    def close(self) -> None:
        """Gives back the engine's memory. Idempotent."""
        context, self._context = self._context, None
        if context is not None:
            context.close()

    def append(self, group: Group) -> None:
        assert self._context is not None
        self._context.append(group)
        self._picture = group.picture
        self._time = rfc3339(self._wall_clock() - (self._clock() - group.captured))
        self._looked_at = Picture(*group.pixels.shape[1:3])
        self.is_unanswered = True

    def answer(self) -> None:
        """Asks every task about the window as it stands, and publishes what is said until the session is stopped."""
        self.is_unanswered = False
        for task in self._tasks:
            event = self._ask(task, self.num_events, partial(self._on_text, task))
            if event is None:
                return
            assert self._picture is not None  # an event speaks of a window, and a window has groups
            self.num_events += 1
            self.ages.append(event.age)
            self._publish(event, self._picture)

    def answer_outside(self, task: Task) -> Event:
        """The answer to a question that is none of the stream's own, and is not published."""
        if self.window is None:
            raise NoPictureYet(
                f"{self._stream}: nothing has been seen yet. Ask again once the stream has given two frames."
            )
        event = self._ask(task, OUTSIDE, lambda piece: None)
        if event is None:
            raise NotWatched(f"{self._stream}: the watching was stopped before the answer was complete.")
        return event

    def _ask(self, task: Task, seq: int, on_piece: Callable[[str], None]) -> Event | None:
        """None if the session was stopped before the answer was complete."""
        context, window = self._context, self.window
        assert context is not None and window is not None
        reply = context.answer(task.prompt(), task.choices, task.max_tokens)
        for piece in reply:
            if self._is_stopped():
                return None
            on_piece(piece)
        return self._event(task, window, reply, seq)

    def _event(self, task: Task, window: Window, reply: Reply, seq: int) -> Event:
        finding = task.parse(reply.text, reply.probabilities if task.choices else {}, self._looked_at)
        assert self._picture is not None
        age = self._clock() - window.captured
        boxes = self._crop.in_whole(finding.boxes, *self._picture.shape[:2])
        return Event(
            stream=self._stream,
            task=task.name,
            seq=seq,
            groups=(window.first, window.last),
            start=window.start,
            end=window.end,
            clock=window.clock,
            age=age,
            text=finding.text,
            finish=reply.finish,
            boxes=boxes,
            flags=finding.flags,
            answer=finding.answer,
            p_yes=finding.p_yes,
            model=self._engine.name,
            variant=self._engine.variant,
            id=next_id(),
            time=self._time,
            span=window.end - window.start,
            seconds=window.seconds,
            spacing=window.spacing,
            question=task.prompt(),
            accepted=reply.accepted,
            stale=age > self._max_age,
        )
