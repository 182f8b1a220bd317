"""Many sessions, one thread, a fake engine: who comes when, and what the end of one means for the others."""

import threading
from collections import Counter

import pytest

from stream.errors import ConnectionFailed, NoPictureYet, NotWatched
from stream.scheduler import Scheduler
from stream.session import Session
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frames

LONG = 20.0  # seconds; only a failing test waits that long
QUESTION = Describe("And now?", name="outside")


class House:
    """Sessions by name, with the law of counts checked for all of them whenever the engine does anything."""

    def __init__(self):
        self.now = 0.0
        self.sessions, self.sources, self.steps, self.ended, self.answers = {}, {}, [], [], Counter()
        self.on_end = lambda session: None
        self.scheduler = Scheduler(on_end=self.end, clock=lambda: self.now)

    def make(self, name, source, *, cost=1.0, on_append=lambda group: None, on_answer=lambda prompt: None, **more):
        """`cost`: seconds that the engine takes for a group."""

        def append(group):
            self.steps.append(name)
            self.now += cost
            self.check()
            on_append(group)

        def answer(prompt):
            self.answers[name] += 1
            self.check()
            on_answer(prompt)

        self.sources[name] = source
        self.sessions[name] = Session(
            source,
            FakeEngine(on_append=append, on_answer=answer),
            **{"tasks": [Describe()], "fps": 2.0, "window": 4, "size": (28, 28), "clock": lambda: self.now, **more},
            name=name,
        )
        return self.sessions[name]

    def add(self, name, source, **more):
        session = self.make(name, source, **more)
        self.scheduler.add(session)
        return session

    def check(self):
        for session in self.sessions.values():
            session.ledger.check()

    def end(self, session):
        summary = session.summary()
        assert session.ledger.check().pending == summary.pending == 0
        self.ended.append((session.name, summary.ended))
        self.on_end(session)


def silence():
    return FakeSource([*frames(2, 2.0), threading.Event()], live=True)


@pytest.fixture
def house():
    return House()


def test_whatever_each_costs_nobody_waits_for_more_than_one_step_of_each_other(house, monkeypatch):
    monkeypatch.setattr("stream.reader.FILE_ROOM", 1000)  # the order is the scheduler's then, not the readers'
    costs = {"cheap": 0.1, "dear": 40.0, "dearest": 3000.0, "free": 0.0}

    def wait_for_the_others(group):
        if len(house.steps) == 1:
            assert all(source.delivered.wait(LONG) for source in house.sources.values())

    for name, cost in costs.items():
        house.add(name, FakeSource(frames(200, 2.0)), cost=cost, on_append=wait_for_the_others)
    house.scheduler.run()

    assert Counter(house.steps) == dict.fromkeys(costs, 100)
    rounds = [house.steps[start : start + 4] for start in range(4, 400, 4)]
    assert all(sorted(each) == sorted(costs) for each in rounds)
    assert sorted(house.ended) == [(name, "end of file") for name in sorted(costs)]
    assert house.answers == dict.fromkeys(costs, 100)


def test_the_session_that_waits_longest_comes_first(house):
    """Three cameras wait for the engine while it is busy with a fourth, and say so one after the other."""
    gates = {name: threading.Event() for name in ("second", "third", "first")}

    def let_them_come(group):
        for name in ("first", "second", "third"):
            house.now += 1.0
            gates[name].set()
            assert house.sources[name].delivered.wait(LONG)

    for name, gate in gates.items():
        house.add(name, FakeSource([gate, *frames(2, 2.0)], live=True))
    house.add("busy", FakeSource(frames(2, 2.0)), on_append=let_them_come)
    house.scheduler.run()

    assert house.steps == ["busy", "first", "second", "third"]


def test_a_live_camera_among_greedy_files_gets_its_turn_and_drops_only_what_it_must(house, monkeypatch):
    monkeypatch.setattr("stream.reader.FILE_ROOM", 1000)
    source = FakeSource(frames(400, 2.0), live=True)

    def all_is_there(group):
        assert all(source.delivered.wait(LONG) for source in house.sources.values())

    house.add("camera", source, window=2, on_append=all_is_there)
    for name in ("a", "b", "c"):
        house.add(name, FakeSource(frames(100, 2.0)), cost=9.0, on_append=all_is_there)
    house.scheduler.run()
    summary = house.sessions["camera"].summary()

    assert house.steps.index("camera") < 8
    assert summary.received == 400 == summary.analysed + summary.dropped["overrun"]


def test_a_source_that_fails_ends_its_own_session_only(house):
    error = ConnectionFailed("cam: the server closed the connection.")
    house.add("lost", FakeSource([*frames(4, 2.0), error], live=True))
    house.add("kept", FakeSource(frames(40, 2.0)))
    house.scheduler.run()

    assert sorted(house.ended) == [("kept", "end of file"), ("lost", "STREAM_CONNECTION_FAILED")]
    assert house.sessions["lost"].error is error
    assert house.sessions["kept"].summary().groups == 20


def test_a_stream_error_of_the_engine_ends_its_own_session_only(house):
    def lose(prompt):
        raise ConnectionFailed("the engine's machine is gone")

    class Closed(FakeEngine):
        def open(self, max_groups):
            raise ConnectionFailed("no engine there")

    house.add("lost", FakeSource(frames(4, 2.0)), on_answer=lose)
    house.add("kept", FakeSource(frames(4, 2.0)))
    never = Session(FakeSource([]), Closed(), [], fps=2, window=4, size=(28, 28), name="never")
    house.scheduler.add(never)
    house.scheduler.run()

    assert ("kept", "end of file") in house.ended
    assert {("lost", "STREAM_CONNECTION_FAILED"), ("never", "STREAM_CONNECTION_FAILED")} < set(house.ended)


def test_a_defect_in_one_session_closes_all_and_is_raised(house):
    sink = FakeSink()
    house.add("broken", FakeSource(frames(4, 2.0)), on_append=lambda group: 1 / 0)
    house.add("sound", silence(), sinks=[sink])
    with pytest.raises(ZeroDivisionError):
        house.scheduler.run()

    assert sorted(house.ended) == [("broken", "defect"), ("sound", "stopped")]
    assert all(source.closed for source in house.sources.values()) and sink.is_closed
    with pytest.raises(RuntimeError, match="too late"):
        house.scheduler.add(house.sessions["sound"])


def test_sessions_come_and_go_while_it_runs(house):
    """Each step of the story is taken from another thread, once the one before has been seen."""
    seen = {name: threading.Event() for name in ("first", "second")}
    gone = threading.Event()
    house.on_end = lambda session: gone.set()

    def story():
        house.add("first", silence(), on_append=lambda group: seen["first"].set())
        assert seen["first"].wait(LONG)
        house.add("second", silence(), on_append=lambda group: seen["second"].set())
        assert seen["second"].wait(LONG)
        house.scheduler.remove(house.sessions["first"])
        assert gone.wait(LONG)
        house.scheduler.stop()

    teller = threading.Thread(target=story)
    teller.start()
    house.scheduler.run(forever=True)
    teller.join()

    assert house.ended == [("first", "stopped"), ("second", "stopped")]


def test_a_sleeping_scheduler_wakes_for_the_earliest_end():
    sessions = {
        seconds: Session(
            FakeSource([threading.Event()], live=True),
            FakeEngine(),
            [],
            fps=2,
            window=4,
            size=(28, 28),
            duration=seconds,
        )
        for seconds in (0.05, 0.01)
    }
    ended = []
    Scheduler(sessions.values(), on_end=lambda session: ended.append(session.summary().ended)).run()

    assert ended == ["STREAM_TIMEOUT"] * 2


def test_without_sessions_it_ends_at_once():
    Scheduler().run()


def test_stop_closes_also_those_that_were_never_opened(house):
    house.add("waiting", silence())
    house.scheduler.stop()
    house.scheduler.run()

    assert house.ended == [("waiting", "stopped")]
    assert house.sources["waiting"].closed and house.steps == []


def test_questions_are_answered_between_the_steps_of_the_others(house, monkeypatch):
    """A busy file in the house does not keep an idle camera's asker waiting."""
    monkeypatch.setattr("stream.reader.FILE_ROOM", 1000)  # the file always has something to do
    answers = []

    def ask_once(group):
        assert house.sources["busy"].delivered.wait(LONG)
        if house.steps.count("busy") == 5:
            answers.extend(house.sessions["idle"].ask(QUESTION) for _ in range(3))
        if answers and house.steps.count("busy") <= 8:
            done.append(sum(answer.done() for answer in answers))

    done = []
    seen = threading.Event()
    house.add("idle", silence(), on_append=lambda group: seen.set())
    house.add("busy", FakeSource([seen, *frames(40, 2.0)]), on_append=ask_once)
    house.on_end = lambda session: house.scheduler.stop()
    house.scheduler.run()

    assert [answer.result(0).stream for answer in answers] == ["idle"] * 3
    assert done == [0, 1, 2, 3]  # one between every two steps


def test_a_question_wakes_an_idle_house(house):
    seen, answers = threading.Event(), []
    house.add("idle", silence(), on_append=lambda group: seen.set())

    def ask():
        seen.wait(LONG)
        answers.extend(house.sessions["idle"].ask(QUESTION).result(LONG).text for _ in range(2))
        answers.append(house.sessions["idle"].ask(QUESTION))
        house.scheduler.stop()

    asker = threading.Thread(target=ask)
    asker.start()
    house.scheduler.run()
    asker.join()

    *said, last = answers
    assert said == ["Nothing happens."] * 2
    assert last.done()
    assert last.exception(0) is None or isinstance(last.exception(0), NotWatched)


def test_many_askers_at_once_all_get_an_answer_or_a_reason(house):
    """Some ask while it runs, some while it ends, some afterwards."""
    answers, started = [], threading.Event()
    for name in ("a", "b"):
        house.add(name, silence(), on_append=lambda group: started.set())

    def ask(name):
        started.wait(LONG)
        answers.extend(house.sessions[name].ask(QUESTION) for _ in range(50))
        if name == "a":
            house.scheduler.stop()

    askers = [threading.Thread(target=ask, args=(name,)) for name in ("a", "b", "a", "b")]
    for asker in askers:
        asker.start()
    house.scheduler.run()
    for asker in askers:
        asker.join()

    assert len(answers) == 200
    assert all(answer.done() for answer in answers)
    assert {type(answer.exception(0)) for answer in answers} <= {type(None), NotWatched, NoPictureYet}


def test_a_session_that_cannot_be_opened_by_a_defect_closes_all(house):
    class Full(FakeEngine):
        def open(self, max_groups):
            raise MemoryError

    source = silence()
    house.add("sound", silence())
    house.scheduler.add(Session(source, Full(), [], fps=2, window=4, size=(28, 28), name="broken"))
    with pytest.raises(MemoryError):
        house.scheduler.run()

    assert sorted(house.ended) == [("broken", "defect"), ("sound", "stopped")]
    assert source.closed and house.sources["sound"].closed


@pytest.mark.parametrize("part", ["release", "close"])
def test_a_session_that_fails_at_its_end_leaves_no_other_open_and_none_unreported(house, monkeypatch, part):
    """`stop` ends all at once, so that those that fail come before and after one that does not."""

    def fail_after(end):
        def fail():
            monkeypatch.setattr(session_of[end], part, end)  # once: what failed is not tried again
            end()
            raise ArithmeticError(part)

        return fail

    session_of = {}
    seen = {name: threading.Event() for name in ("first", "second", "third")}
    for name, event in seen.items():
        session = house.add(name, silence(), on_append=lambda group, event=event: event.set())
        if name != "second":
            end = getattr(session, part)
            session_of[end] = session
            monkeypatch.setattr(session, part, fail_after(end))

    def stop():
        assert all(event.wait(LONG) for event in seen.values())
        house.scheduler.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(ArithmeticError):
        house.scheduler.run()
    stopper.join()

    assert sorted(house.ended) == [(name, "stopped") for name in sorted(seen)]
    assert all(source.closed for source in house.sources.values())


def test_whoever_hears_of_ends_and_fails_hears_of_the_other_ends_all_the_same(house):
    heard = []

    def fail(session):
        heard.append(session.name)
        raise ArithmeticError

    house.on_end = fail
    for name in ("first", "second"):
        house.add(name, silence())
    house.scheduler.stop()
    with pytest.raises(ArithmeticError):
        house.scheduler.run()

    assert sorted(heard) == ["first", "second"]


def test_a_goodbye_that_takes_long_keeps_nobody_waiting(house):
    class Slow(FakeSink):
        def close(self):
            assert other_done.wait(LONG)

    other_done = threading.Event()
    house.add("leaving", FakeSource(frames(2, 2.0)), sinks=[Slow()])
    seen = []
    house.add(
        "staying",
        FakeSource(frames(40, 2.0)),
        on_append=lambda group: (seen.append(group), len(seen) == 20 and other_done.set()),
    )
    house.scheduler.run()

    assert sorted(house.ended) == [("leaving", "end of file"), ("staying", "end of file")]
    assert house.sessions["leaving"].summary().sink_errors == 0


def test_the_end_of_each_is_logged_by_default(caplog):
    source = FakeSource([ConnectionFailed("cam: refused")], name="cam")
    Scheduler([Session(source, FakeEngine(), [], fps=2, window=4, size=(28, 28))]).run()

    assert [record.message for record in caplog.records] == ["cam is over: cam: refused"]
