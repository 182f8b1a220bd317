from concurrent.futures import CancelledError

import pytest

from stream.errors import NotWatched
from stream.questions import Questions
from stream.tasks.describe import Describe

LONG = 20.0  # seconds; only a failing test waits that long


@pytest.fixture
def questions():
    questions = Questions("not yet")
    questions.open()
    return questions


def test_the_oldest_comes_first_and_gets_what_is_said(questions):
    first, second = questions.put(Describe("1")), questions.put(Describe("2"))
    questions.take().resolve(lambda task: task.prompt())
    questions.take().resolve(lambda task: task.prompt())

    assert (first.result(0), second.result(0)) == ("1", "2")
    assert questions.take() is None


def test_nobody_answers_before_the_opening_nor_after_the_close():
    questions = Questions("not yet")
    early = questions.put(Describe())
    questions.open()
    waiting = questions.put(Describe())
    questions.close("over")
    questions.close("over again")
    late = questions.put(Describe())

    for answer, reason in [(early, "not yet"), (waiting, "over"), (late, "over")]:
        with pytest.raises(NotWatched, match=reason):
            answer.result(0)
    assert questions.take() is None


def test_a_cancelled_question_is_passed_over(questions):
    cancelled, kept = questions.put(Describe("1")), questions.put(Describe("2"))
    assert cancelled.cancel()

    assert questions.take().answer is kept
    assert not kept.cancel()  # it is being answered
    with pytest.raises(CancelledError):
        cancelled.result(0)


def test_closing_passes_over_the_cancelled(questions):
    cancelled = questions.put(Describe())
    cancelled.cancel()
    questions.close("over")

    assert cancelled.cancelled()


def test_what_goes_wrong_is_the_askers_but_an_interrupt_is_everybodys(questions):
    def interrupt(task):
        raise KeyboardInterrupt

    first, second = questions.put(Describe()), questions.put(Describe())
    questions.take().resolve(lambda task: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        questions.take().resolve(interrupt)

    assert isinstance(first.exception(0), ZeroDivisionError)
    assert isinstance(second.exception(0), KeyboardInterrupt)
