"""Doubles for tests and for writers of plugins: a source that follows a script, an engine that never thinks.

They keep the protocols of `stream.sources`, `stream.asking` and `stream.sinks` and do nothing by the wall clock.

>>> from stream.session import Session
>>> from stream.tasks.describe import Describe
>>> sink = FakeSink()
>>> summary = Session(
...     FakeSource(frames(8, fps=4)), FakeEngine("A dog."), [Describe()], [sink],
...     fps=2, window=4, size=(28, 28),
... ).run()
>>> summary.received, summary.groups, summary.events, sink.events[-1].text
(8, 2, 2, 'A dog.')
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from stream.event import Event
from stream.frame import Clock, Frame, Group, Pixels, Window

Answers = str | Callable[[str, Window], str]
"""What the engine says: always the same, or made from the prompt and the window."""


def frame(
    pts: float, size: tuple[int, int] = (28, 28), *, captured: float | None = None, clock: Clock = "synthetic"
) -> Frame:
    """One plain picture of (height, width), a little brighter every second; captured when it was taken."""
    pixels = np.full((*size, 3), int(pts * 8) % 256, np.uint8)
    return Frame(pixels, pts, pts if captured is None else captured, clock)


def frames(count: int, fps: float, size: tuple[int, int] = (28, 28), start: float = 0.0) -> list[Frame]:
    return [frame(start + number / fps, size) for number in range(count)]


def group(index: int, num_frames: int = 2, fps: float = 2.0) -> Group:
    newest = frame((2 * index + 1) / fps)
    return Group(
        index=index,
        pixels=np.stack([newest.pixels, newest.pixels]),
        pts=(2 * index / fps, newest.pts),
        captured=newest.captured,
        clock=newest.clock,
        num_frames=num_frames,
        picture=newest.pixels,
    )


class FakeSource:
    """Plays a script: a frame is given, an exception is raised, an event is waited for.

    `close` ends the waiting, unless the source is deaf: then it is stuck as in a native read, until the event
    is set. `delivered` is set once everything in the script has been given and the reader asks for more.
    """

    def __init__(
        self,
        script: Iterable[Frame | BaseException | threading.Event],
        *,
        live: bool = False,
        deaf: bool = False,
        name: str = "fake",
    ) -> None:
        self.live = live
        self.name, self.codec = name, ""
        self.delivered = threading.Event()
        self.closed = False
        self._deaf = deaf
        self._script = list(script)

    def __iter__(self) -> Iterator[Frame]:
        for step in self._script:
            if isinstance(step, BaseException):
                self.delivered.set()
                raise step
            if isinstance(step, threading.Event):
                step.wait()
            if self.closed and not self._deaf:
                return
            if isinstance(step, Frame):
                yield step
        self.delivered.set()

    def close(self) -> None:
        self.closed = True
        if not self._deaf:
            for step in self._script:
                if isinstance(step, threading.Event):
                    step.set()


@dataclass
class FakeReply:
    """Says a text word by word."""

    text: str
    finish: str = "stop"
    probabilities: Mapping[str, float] = field(default_factory=dict)
    accepted: int = 0

    def __iter__(self) -> Iterator[str]:
        words = self.text.split(" ")
        yield from (word if number == 0 else f" {word}" for number, word in enumerate(words))


class FakeContext:
    """Remembers its groups; a gap in the index begins anew, a full window forgets its oldest group."""

    def __init__(self, engine: FakeEngine, max_groups: int) -> None:
        self.groups: list[Group] = []
        self.is_closed = False
        self._engine = engine
        self._max_groups = max_groups

    @property
    def window(self) -> Window | None:
        if not self.groups:
            return None
        first, last = self.groups[0], self.groups[-1]
        return Window(first.index, last.index, first.pts[0], last.pts[1], last.captured, last.clock)

    def append(self, group: Group) -> None:
        if self.groups and not group.follows(self.groups[-1].index, self.groups[-1].spacing):
            self.groups.clear()
        self.groups = [*self.groups, group][-self._max_groups :]
        self._engine.appended.append(group)
        self._engine.on_append(group)

    def answer(self, prompt: str, choices: tuple[str, ...] = (), max_tokens: int = 128) -> FakeReply:
        window = self.window
        assert window is not None
        self._engine.on_answer(prompt)
        answers = self._engine.answers
        text = answers if isinstance(answers, str) else answers(prompt, window)
        return FakeReply(text, probabilities={choice: 1 / len(choices) for choice in choices})

    def close(self) -> None:
        self.groups.clear()
        self.is_closed = True


class FakeEngine:
    """Answers at once. `on_append` and `on_answer` are called in the engine's thread: slow it down there."""

    name = "fake"
    variant = "none"

    def __init__(
        self,
        answers: Answers = "Nothing happens.",
        *,
        on_append: Callable[[Group], object] = lambda group: None,
        on_answer: Callable[[str], object] = lambda prompt: None,
    ) -> None:
        self.answers = answers
        self.on_append = on_append
        self.on_answer = on_answer
        self.appended: list[Group] = []
        self.contexts: list[FakeContext] = []

    def open(self, max_groups: int) -> FakeContext:
        self.contexts.append(FakeContext(self, max_groups))
        return self.contexts[-1]


class FakeSink:
    """Keeps everything it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pictures: list[Pixels] = []
        self.is_closed = False

    def publish(self, event: Event, picture: Pixels) -> None:
        self.events.append(event)
        self.pictures.append(picture)

    def close(self) -> None:
        self.is_closed = True
