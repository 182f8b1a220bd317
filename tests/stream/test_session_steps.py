"""A session in the hands of somebody else: opened, stepped, asked and closed."""

import math
import threading

import pytest

from stream.errors import ConnectionFailed, NoPictureYet, NotWatched
from stream.session import Session, Step
from stream.tasks.ask import Ask
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frames
from stream.wakeup import Wakeup

LONG = 20.0  # seconds; only a failing test waits that long
QUESTION = Describe("What colour is it?", name="outside")


def make(source, engine=None, sinks=(), tasks=None, **more):
    tasks = [Describe()] if tasks is None else tasks
    return Session(source, engine or FakeEngine(), tasks, sinks, **{"fps": 2.0, "window": 4, "size": (28, 28), **more})


class Hands:
    """Whoever steps one session."""

    def __init__(self, session):
        self.session, self.wakeup = session, Wakeup()
        session.open(self.wakeup.set)

    def step(self):
        """The next step that is not idle."""
        while (step := self.session.step()) is Step.IDLE:
            self.session.ledger.check()
            self.wakeup.wait(LONG)
        self.session.ledger.check()
        return step

    def finish(self):
        while self.step() is not Step.ENDED:
            pass
        self.session.close()


def quiet(*before):
    """A live source that says a few frames and then nothing more."""
    return FakeSource([*before, threading.Event()], live=True)


# Steps


def test_a_file_is_seen_group_by_group_and_a_live_source_all_at_once():
    def groups_per_step(live):
        source = FakeSource(frames(8, 2.0), live=live)
        engine = FakeEngine(on_append=lambda group: source.delivered.wait(LONG) if live else None)
        hands, seen = Hands(make(source, engine)), []
        if live:
            source.delivered.wait(LONG)
        while hands.step() is not Step.ENDED:
            seen.append(len(engine.appended))
        hands.session.close()
        return seen

    assert groups_per_step(live=False) == [1, 2, 3, 4]
    assert groups_per_step(live=True) == [4]


def test_a_step_that_finds_nothing_is_idle_and_says_when_to_come_back():
    now = [100.0]
    session = make(quiet(), duration=50.0, clock=lambda: now[0])
    session.open(lambda: None)

    assert session.step() is Step.IDLE
    assert session.ready_at() == 150.0
    session.stop()
    assert session.ready_at() == -math.inf
    assert session.step() is Step.ENDED
    session.close()


def test_without_a_deadline_only_the_wake_up_tells():
    wakeup = Wakeup()
    gate = threading.Event()
    session = make(FakeSource([gate, *frames(2, 2.0)]))
    session.open(wakeup.set)
    assert session.step() is Step.IDLE
    assert session.ready_at() == math.inf
    gate.set()
    wakeup.wait(math.inf)

    assert session.ready_at() < math.inf
    session.close()


def test_what_a_step_leaves_over_waits_since_the_end_of_that_step(monkeypatch):
    monkeypatch.setattr("stream.reader.FILE_ROOM", 9)
    now = [100.0]
    source = FakeSource(frames(8, 2.0))
    session = make(source, FakeEngine(on_append=lambda group: now.__setitem__(0, 107.0)), clock=lambda: now[0])
    session.open(lambda: None)
    source.delivered.wait(LONG)
    assert session.ready_at() == 100.0
    session.step()

    assert session.ready_at() == 107.0
    session.close()


def test_a_session_that_is_not_open_cannot_be_stepped():
    with pytest.raises(RuntimeError, match="not open"):
        make(quiet()).step()


def test_closing_gives_back_the_engines_memory_and_counts_what_was_left():
    engine, source, sink = FakeEngine(), FakeSource(frames(20, 2.0)), FakeSink()
    hands = Hands(make(source, engine, [sink]))
    hands.step()
    hands.session.close()
    hands.session.close()

    assert engine.contexts[0].is_closed and source.closed and sink.is_closed
    assert hands.session.ledger.check().pending == 0
    assert hands.session.summary().ended == "stopped"
    assert hands.session.step() is Step.ENDED


def test_a_session_that_was_never_open_can_be_closed():
    source, sink = quiet(), FakeSink()
    make(source, sinks=[sink]).close()

    assert source.closed and sink.is_closed


def test_an_engine_that_cannot_open_leaves_nothing_open():
    class Full(FakeEngine):
        def open(self, max_groups):
            raise MemoryError

    source, sink = quiet(), FakeSink()
    session = make(source, Full(), [sink])
    with pytest.raises(MemoryError):
        session.open(lambda: None)

    assert source.closed and sink.is_closed
    assert session.summary().ended == "defect"


def test_a_live_source_that_never_sent_a_picture_ends_with_an_error():
    session = make(quiet(), duration=0.01)
    summary = session.run()

    assert summary.ended == "STREAM_TIMEOUT"
    assert "not one picture came in 0.01 s" in summary.error


# Questions from outside


def test_a_question_is_answered_by_whoever_steps_about_the_window_as_it_stands():
    threads, prompts, sink = [], [], FakeSink()
    engine = FakeEngine(on_answer=lambda prompt: (threads.append(threading.get_ident()), prompts.append(prompt)))
    hands = Hands(make(quiet(*frames(4, 2.0)), engine, [sink]))
    while len(engine.appended) < 2:
        hands.step()
    asked = []
    asker = threading.Thread(target=lambda: asked.append(hands.session.ask(QUESTION)))
    asker.start()
    asker.join()
    hands.step()
    event = asked[0].result(0)

    assert (event.task, event.text, event.seq, event.groups) == ("outside", "Nothing happens.", -1, (0, 1))
    assert prompts[-1] == QUESTION.prompt()
    assert set(threads) == {threading.get_ident()}
    assert len(engine.appended) == 2  # nothing was seen again
    hands.session.close()
    assert "outside" not in [event.task for event in sink.events]
    assert [event.seq for event in sink.events] == list(range(len(sink.events)))


def test_a_question_may_be_one_for_yes_or_no():
    hands = Hands(make(quiet(*frames(2, 2.0)), tasks=[]))
    hands.step()
    answer = hands.session.ask(Ask("Is it red?"))
    hands.step()

    assert answer.result(0).p_yes == 0.5
    hands.session.close()


def test_a_question_may_be_a_plain_text():
    asked = []
    hands = Hands(make(quiet(*frames(2, 2.0)), FakeEngine("Blue.", on_answer=asked.append), tasks=[]))
    hands.step()
    answer = hands.session.ask("Which colour is the door?")
    hands.step()

    assert (answer.result(0).text, asked) == ("Blue.", ["Which colour is the door?"])
    hands.session.close()


def test_a_question_wakes_a_run_that_waits_for_pictures():
    seen = threading.Event()
    session = make(quiet(*frames(2, 2.0)), FakeEngine(on_append=lambda group: seen.set()))
    running = threading.Thread(target=session.run)
    running.start()
    seen.wait(LONG)

    assert session.ask(QUESTION).result(LONG).text == "Nothing happens."
    session.stop()
    running.join()


def test_before_the_first_picture_there_is_nothing_to_ask_about():
    hands = Hands(make(quiet()))
    answer = hands.session.ask(QUESTION)
    hands.step()

    with pytest.raises(NoPictureYet, match="two frames"):
        answer.result(0)
    hands.session.close()


def test_a_session_that_is_not_open_or_over_answers_nothing():
    session = make(FakeSource(frames(2, 2.0)))
    early = session.ask(QUESTION)
    session.run()
    late = session.ask(QUESTION)

    for answer, reason in [(early, "not watched yet"), (late, "end of file")]:
        with pytest.raises(NotWatched, match=reason):
            answer.result(0)


@pytest.mark.parametrize("ending", ["stop", "close", "source", "defect"])
def test_however_a_session_ends_no_question_is_left_hanging(ending):
    def ask(group):
        answers.append(session.ask(QUESTION))
        if ending == "stop":
            session.stop()
        if ending == "defect":
            raise ZeroDivisionError

    answers = []
    error = ConnectionFailed("cam: gone")
    source = FakeSource([*frames(2, 2.0), error] if ending == "source" else frames(2, 2.0), live=True)
    session = make(source, FakeEngine(on_append=ask), tasks=[])
    if ending == "close":
        hands = Hands(session)
        answers.append(session.ask(QUESTION))
        session.close()
        assert hands.step() is Step.ENDED
    elif ending == "defect":
        with pytest.raises(ZeroDivisionError):
            session.run()
        assert session.summary().ended == "defect"
    else:
        session.run()
        answers.append(session.ask(QUESTION))

    assert answers and all(answer.done() for answer in answers)
    assert isinstance(answers[-1].exception(0), NotWatched)


def test_stopping_in_the_middle_of_an_answer_ends_its_question():
    class Endless(FakeEngine):
        def open(self, max_groups):
            context = super().open(max_groups)
            context.answer = lambda *asked: pieces()
            return context

    def pieces():
        while True:
            hands.session.stop()
            yield "and so on "

    hands = Hands(make(quiet(*frames(2, 2.0)), Endless(), tasks=[]))
    hands.step()
    answer = hands.session.ask(QUESTION)
    hands.step()

    with pytest.raises(NotWatched, match="before the answer was complete"):
        answer.result(0)
    hands.session.close()


def test_a_question_that_the_engine_cannot_take_harms_only_its_asker():
    def refuse(prompt):
        if prompt == QUESTION.prompt():
            raise OverflowError("too long")

    gate = threading.Event()
    source = FakeSource([*frames(2, 2.0), gate, *frames(2, 2.0, start=1.0)])
    hands = Hands(make(source, FakeEngine(on_answer=refuse)))
    hands.step()
    answer = hands.session.ask(QUESTION)
    hands.step()
    gate.set()
    hands.finish()

    assert isinstance(answer.exception(0), OverflowError)
    assert (hands.session.summary().groups, hands.session.summary().ended) == (2, "end of file")


def test_a_cancelled_question_is_never_asked():
    prompts = []
    hands = Hands(make(quiet(*frames(2, 2.0)), FakeEngine(on_answer=prompts.append), tasks=[]))
    hands.step()
    assert hands.session.ask(QUESTION).cancel()
    assert hands.session.step() is Step.IDLE

    assert prompts == []
    hands.session.close()
