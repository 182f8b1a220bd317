"""What counts as another answer, and that what is not told is counted."""

from dataclasses import replace

import pytest

from stream.changes import Changes, is_same
from stream.event import Box, Event
from stream.session import Session
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frames

EVENT = Event(
    stream="door", task="describe", seq=0, groups=(0, 3), start=0.0, end=3.5, clock="file", age=0.4,
    text="A red circle stands still.", finish="stop", boxes=(Box("circle", 0.2, 0.2, 0.6, 0.6),),
)  # fmt: skip
ASKED = replace(EVENT, task="ask", text="Yes", answer="yes", p_yes=0.9, boxes=())


@pytest.mark.parametrize(
    "other",
    [
        replace(EVENT, seq=7, end=9.0, age=2.0, groups=(3, 7)),
        replace(EVENT, text="a red circle  stands still. "),
        replace(EVENT, boxes=(Box("circle", 0.21, 0.2, 0.61, 0.6),)),
    ],
)
def test_the_same_answer_in_other_clothes_is_no_news(other):
    assert is_same(EVENT, other)


@pytest.mark.parametrize(
    "other",
    [
        replace(EVENT, text="A red circle moves left."),
        replace(EVENT, boxes=()),
        replace(EVENT, boxes=(Box("star", 0.2, 0.2, 0.6, 0.6),)),
        replace(EVENT, boxes=(Box("circle", 0.25, 0.2, 0.65, 0.6),)),
        replace(EVENT, boxes=(*EVENT.boxes, *EVENT.boxes)),
    ],
)
def test_other_words_and_other_boxes_are_news(other):
    assert not is_same(EVENT, other) and not is_same(other, EVENT)


def test_of_yes_and_no_the_answer_counts_and_not_how_sure_it_is():
    assert is_same(ASKED, replace(ASKED, p_yes=0.6))
    assert not is_same(ASKED, replace(ASKED, answer="no", p_yes=0.4))


def test_two_things_in_one_place_are_told_apart_by_their_names():
    here = (Box("circle", 0.2, 0.2, 0.6, 0.6), Box("star", 0.2, 0.2, 0.6, 0.6))

    assert is_same(replace(EVENT, boxes=here), replace(EVENT, boxes=here[::-1]))


def test_each_task_has_a_last_answer_of_its_own():
    changes = Changes()

    assert [changes.is_news(event) for event in (EVENT, ASKED, EVENT, ASKED)] == [True, True, False, False]


def test_what_drifts_slowly_is_told_once_it_has_come_far():
    changes = Changes()
    steps = [replace(EVENT, boxes=(Box("circle", 0.2 + x / 100, 0.2, 0.6 + x / 100, 0.6),)) for x in range(9)]

    assert [changes.is_news(event) for event in steps] == [True, *[False] * 4, True, *[False] * 3]


@pytest.mark.parametrize(
    ("only_changes", "told"), [(True, ["calm", "calm", "storm"]), (False, ["calm"] * 6 + ["storm"] * 2)]
)
def test_a_session_tells_changes_alone_and_counts_the_rest(only_changes, told):
    """Two tasks about four groups; the weather changes with the last, for one of them."""
    sink = FakeSink()
    engine = FakeEngine(lambda prompt, window: "storm" if window.last == 3 else "calm")
    tasks = [Describe("Weather?", name="one"), Describe("Weather?", name="two")]
    summary = Session(
        FakeSource(frames(8, 2.0)), engine, tasks, [sink], fps=2, window=4, size=(28, 28), only_changes=only_changes
    ).run()

    assert sorted(event.text for event in sink.events) == sorted([*told, *["storm"] * only_changes])
    assert summary.events == 8 == len(sink.events) + summary.unchanged
