"""A sink behind its queue: it keeps nobody waiting, and whatever it loses is counted."""

import threading

import pytest

from stream.errors import ReaderGone
from stream.event import Event
from stream.session import Session, Step
from stream.sinks.fanout import FanOut
from stream.sinks.queued import BEHIND, NO_LONGER_WAITED_FOR, ROOM, QueuedSink
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frame, frames
from stream.wakeup import Wakeup

LONG = 20.0  # seconds; only a failing test waits that long
PICTURE = frame(0.0).pixels


def event(seq):
    return Event("door", "describe", seq, (0, 0), 0.0, 0.5, "file", 0.1, "A dog.", "stop")


class BlockedSink(FakeSink):
    """Takes its first event and keeps it until it is released."""

    def __init__(self):
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def publish(self, event, picture):
        self.reached.set()
        self.released.wait()
        super().publish(event, picture)

    @property
    def numbers(self):
        return [event.seq for event in self.events]


@pytest.fixture
def blocked():
    sink = BlockedSink()
    yield sink
    sink.released.set()


def publish(sink, *numbers):
    for seq in numbers:
        sink.publish(event(seq), PICTURE)


def session(source, sinks, tasks=None, **more):
    tasks = [Describe()] if tasks is None else tasks
    return Session(source, FakeEngine(**more), tasks, sinks, fps=2.0, window=4, size=(28, 28))


def test_events_keep_their_order_and_come_from_one_thread_that_also_closes():
    threads = set()

    class Watched(FakeSink):
        def publish(self, event, picture):
            threads.add(threading.get_ident())
            super().publish(event, picture)

        def close(self):
            threads.add(threading.get_ident())
            super().close()

    sink = Watched()
    queued = QueuedSink(sink)
    publish(queued, *range(20))
    queued.finish()
    queued.join(LONG)

    assert [event.seq for event in sink.events] == list(range(20))
    assert sink.is_closed
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_a_full_queue_drops_its_oldest_and_counts_them(blocked, caplog):
    queued = QueuedSink(blocked)
    publish(queued, 0)
    blocked.reached.wait(LONG)
    publish(queued, *range(1, ROOM + 4))
    assert queued.dropped == 3
    blocked.released.set()
    queued.finish()
    queued.join(LONG)

    assert blocked.numbers == [0, *range(4, ROOM + 4)]
    assert (queued.dropped, queued.errors) == (3, 0)
    assert [record.message for record in caplog.records] == ["BlockedSink is too slow: its oldest events are dropped"]


def test_what_a_sink_does_not_take_in_time_is_counted_as_errors(blocked, caplog):
    queued = QueuedSink(blocked)
    publish(queued, 0, 1, 2)
    blocked.reached.wait(LONG)
    queued.finish()
    queued.join(0.01)

    assert (queued.errors, queued.dropped) == (3, 0)
    assert "3 deliveries did not arrive" in caplog.text
    blocked.released.set()
    queued.join(LONG)
    assert blocked.numbers == [0]  # what was given up is not delivered behind everybody's back
    assert blocked.is_closed


def test_a_close_that_hangs_is_an_error():
    class NeverDone(FakeSink):
        def close(self):
            released.wait()

    released = threading.Event()
    queued = QueuedSink(NeverDone())
    queued.finish()
    queued.join(0.01)
    released.set()

    assert queued.errors == 1


def test_a_sink_that_was_given_up_and_then_fails_is_counted_once(blocked):
    def publish_and_fail(event, picture):
        blocked.reached.set()
        blocked.released.wait()
        raise OSError("gone")

    blocked.publish = publish_and_fail
    queued = QueuedSink(blocked)
    publish(queued, 0)
    blocked.reached.wait(LONG)
    queued.finish()
    queued.join(0.01)
    blocked.released.set()
    queued.join(LONG)

    assert queued.errors == 1


def test_a_sink_that_wants_to_end_the_program_only_fails(caplog):
    class Quitter(FakeSink):
        def publish(self, event, picture):
            raise SystemExit(1)

    sink = Quitter()
    queued = QueuedSink(sink)
    publish(queued, 0, 1)
    queued.finish()
    queued.join(LONG)

    assert queued.errors == 2 and sink.is_closed


def test_who_is_behind_is_waited_for_until_it_is_stuck(blocked):
    now, room = [100.0], threading.Event()
    fan = FanOut([FakeSink(), blocked], on_room=room.set, clock=lambda: now[0])
    assert fan.busy_until < 100.0
    publish(fan, 0)
    blocked.reached.wait(LONG)
    now[0] = 103.0
    publish(fan, *range(1, BEHIND + 1))

    assert fan.busy_until == 103.0 + NO_LONGER_WAITED_FOR
    room.clear()
    blocked.released.set()
    assert room.wait(LONG)
    fan.close()
    assert fan.busy_until < 100.0
    assert blocked.numbers == list(range(BEHIND + 1))


def test_closing_waits_for_all_sinks_at_the_same_time(blocked):
    class Releasing(FakeSink):
        def close(self):
            blocked.released.set()

    fan = FanOut([blocked, Releasing()])
    publish(fan, 0, 1)
    fan.close()

    assert blocked.numbers == [0, 1]
    assert (fan.errors, fan.dropped) == (0, 0)


def test_a_reader_that_has_gone_is_no_error_and_wants_nothing_more():
    told = threading.Event()

    class Pipe(FakeSink):
        def publish(self, event, picture):
            super().publish(event, picture)
            raise ReaderGone("nobody reads")

    sink = Pipe()
    fan = FanOut([sink], on_unread=told.set)
    publish(fan, 0)
    assert told.wait(LONG)
    publish(fan, 1, 2)
    fan.close()

    assert [event.seq for event in sink.events] == [0]
    assert (fan.errors, fan.dropped) == (0, 0)


# In a session


def test_a_dead_sink_delays_no_answer_of_a_live_source_and_loses_nothing_silently(blocked, monkeypatch):
    monkeypatch.setattr("stream.sinks.fanout.CLOSE_TIMEOUT", 0.01)
    number = 3 * ROOM
    gates = [threading.Event() for _ in range(number)]
    script = [step for index, gate in enumerate(gates) for step in (gate, *frames(2, 2.0, start=float(index)))]
    shut = iter(gates)

    def let_the_next_come(prompt):
        next(shut, threading.Event()).set()

    watching = session(FakeSource(script, live=True), [blocked], on_answer=let_the_next_come)
    let_the_next_come("")
    summary = watching.run()

    assert summary.events == number  # though the sink never took one to its end
    assert summary.sink_dropped + summary.sink_errors == number
    assert summary.sink_dropped >= number - ROOM - 1


def test_a_file_rests_while_a_sink_is_behind_and_loses_nothing(blocked, monkeypatch):
    monkeypatch.setattr("stream.reader.FILE_ROOM", 1000)  # all groups are there, so that only the sink makes it rest
    count, wakeup = 2 * ROOM, Wakeup()
    source = FakeSource(frames(2 * count, 2.0))
    watching = session(source, [blocked])
    watching.open(wakeup.set)
    assert source.delivered.wait(LONG)
    watching.step()
    assert blocked.reached.wait(LONG)
    while watching.step() is Step.WORKED:
        pass
    assert watching.summary().events == BEHIND + 1  # the sink has one of them in hand
    assert watching.ready_at() < float("inf")  # for ever it will not wait
    blocked.released.set()
    while (step := watching.step()) is not Step.ENDED:
        if step is Step.IDLE:
            wakeup.wait(LONG)
    watching.close()

    assert blocked.numbers == list(range(count))
    assert (watching.summary().sink_errors, watching.summary().sink_dropped) == (0, 0)


def test_a_file_does_not_wait_for_ever_for_a_dead_sink(blocked, monkeypatch):
    monkeypatch.setattr("stream.sinks.queued.NO_LONGER_WAITED_FOR", 0.0)
    monkeypatch.setattr("stream.sinks.fanout.CLOSE_TIMEOUT", 0.01)
    count = 2 * ROOM
    summary = session(FakeSource(frames(2 * count, 2.0)), [blocked]).run()

    assert summary.events == count
    assert summary.sink_dropped + summary.sink_errors == count


def test_a_session_whose_reader_has_gone_stops_in_good_order():
    class Pipe(FakeSink):
        def publish(self, event, picture):
            raise ReaderGone("nobody reads")

    source = FakeSource([*frames(2, 2.0), threading.Event()], live=True)
    summary = session(source, [Pipe()]).run()

    assert (summary.ended, summary.sink_errors, summary.error) == ("stopped", 0, None)


def test_a_sink_that_failed_to_its_end_is_not_said_to_work_again(caplog):
    class Broken(FakeSink):
        def publish(self, event, picture):
            raise KeyError("arm")

    sink = QueuedSink(Broken())
    publish(sink, 0, 1, 2)
    sink.finish()
    sink.join(LONG)

    (record,) = caplog.records
    assert sink.errors == 3 and "goes on being tried: KeyError" in record.message
    assert record.exc_info is not None  # where in whose code
