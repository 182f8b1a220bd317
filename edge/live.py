"""Live video for Python programs: sources are watched in the background, and what is said of them is iterated.

The thread made here owns the engine; the caller's threads take events and ask questions.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future

from edge.arguments import check_shape
from edge.commands.watch import TASK_NEEDS
from edge.errors import BadArgument
from stream.event import Event
from stream.frame import Pixels
from stream.scheduler import Scheduler
from stream.session import Session
from stream.sinks.inbox import Inbox
from stream.summary import Summary
from stream.tasks import Task

LIVE_ROOM = 1000  # events of cameras that may wait to be taken


class Watch:
    """One or several sources on one engine, from now until they end or `stop` is called. `edge.watch` makes it.

    Iterating it, with `for` or `async for`, gives the events of all, and stops the watching when the loop is left. A
    `with` block stops it too. What ended it, if not its own end, is raised after the last event: StreamError for a
    source, and whatever the engine raises.
    """

    def __init__(self, sessions: Sequence[Session], inbox: Inbox | None = None) -> None:
        self._sessions = {session.name: session for session in sessions}
        self._inbox = inbox
        self._error: BaseException | None = None  # the engine's
        self._to_open = len(sessions)
        self._is_open = threading.Event()
        self._scheduler = Scheduler(sessions, on_open=self._count_open)
        self._thread = threading.Thread(target=self._run, name="edge.watch", daemon=True)
        self._thread.start()

    # Events

    def __iter__(self) -> Iterator[Event]:
        inbox = self._taken_here()
        try:
            while (event := inbox.take()) is not None:
                yield event
        finally:
            self.close()
        self._raise()

    async def __aiter__(self) -> AsyncIterator[Event]:
        inbox, loop, news = self._taken_here(), asyncio.get_running_loop(), asyncio.Event()
        inbox.listen(lambda: None if loop.is_closed() else loop.call_soon_threadsafe(news.set))
        may_come = True
        try:
            while may_come:
                news.clear()
                events, may_come = inbox.take_waiting()
                for event in events:
                    yield event
                if may_come and not events:
                    await news.wait()
        finally:
            self.stop()
            await asyncio.to_thread(self.close)
        self._raise()

    # Questions from outside

    def ask(self, question: str | Task, source: str | None = None) -> Future[Event]:
        """Asks about what is seen now, from any thread; nothing is looked at again for it.

        A text is answered in words, a Task in its own way (`stream.tasks.ask.Ask("Is it open?")`: yes or no, with a
        probability). `source` is a name, needed where several are watched. The event is the answer; it is not among the
        events that are iterated. The future fails with NoPictureYet before the first two frames, with NotWatched once
        the watching has ended. Raises BadArgument for what is no question.
        """
        if not (isinstance(question, str) and question.strip()):
            check_shape("question", question, TASK_NEEDS, "Give what to ask for as a text, or a Task.")
        session = self._session(source)
        self._is_open.wait()
        return session.ask(question)

    async def ask_async(self, question: str | Task, source: str | None = None) -> Event:
        """The answer to `ask`, awaited."""
        return await asyncio.wrap_future(self.ask(question, source))

    # The end

    def stop(self) -> None:
        """Ends the watching soon; from any thread or signal handler."""
        self._scheduler.stop()

    def close(self) -> None:
        """Ends the watching, and waits until everything is given back: seconds, at worst. Idempotent.

        In `on_event` call `stop` instead: its thread is waited for here.
        """
        self.stop()
        self._thread.join()

    def wait(self) -> list[Summary]:
        """Waits for the end, and tells how each source went. Raises what ended it, as iterating does."""
        self._thread.join()
        self._raise()
        return self.summaries

    @property
    def summaries(self) -> list[Summary]:
        """The numbers of each source so far, in the order given; received = analysed + dropped + pending, in frames."""
        return [session.summary() for session in self._sessions.values()]

    @property
    def summary(self) -> Summary:
        """The numbers of the only source."""
        return self._session(None).summary()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.stop()
        await asyncio.to_thread(self.close)

    def _taken_here(self) -> Inbox:
        if self._inbox is None:
            raise BadArgument("the events of this watch go to on_event. Leave that away to iterate them.")
        return self._inbox

    def _session(self, source: str | None) -> Session:
        names = list(self._sessions)
        if source is None and len(names) == 1:
            return self._sessions[names[0]]
        if source not in self._sessions:
            raise BadArgument(f"source is {source!r}, and these are watched: {', '.join(names)}. Name one of them.")
        return self._sessions[source]

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
        for session in self._sessions.values():
            if session.error is not None:
                raise session.error

    # The engine's thread

    def _run(self) -> None:
        try:
            self._scheduler.run()
        except BaseException as error:  # raised where the events are taken
            self._error = error
        finally:
            self._is_open.set()
            if self._inbox is not None:
                self._inbox.close()

    def _count_open(self, session: Session) -> None:
        self._to_open -= 1
        if self._to_open == 0:
            self._is_open.set()


class Callback:
    """A sink that is a function."""

    def __init__(self, on_event: Callable[[Event], object]) -> None:
        self.name = getattr(on_event, "__name__", "on_event")
        self._on_event = on_event

    def publish(self, event: Event, picture: Pixels) -> None:
        self._on_event(event)

    def close(self) -> None:
        """Nothing is open between two events."""
