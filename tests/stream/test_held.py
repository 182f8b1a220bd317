"""A picture that stands: its samples go on, and it is counted once."""

from __future__ import annotations

from dataclasses import replace

from stream.frame import Frame
from stream.session import Session
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frame


def watched(script: list[Frame]) -> tuple[FakeEngine, Session]:
    engine = FakeEngine()
    session = Session(FakeSource(script), engine, [Describe()], [FakeSink()], fps=2, window=4, size=(28, 28))
    session.run()
    return engine, session


def still(seconds: int) -> list[Frame]:
    """One picture, and word every second that it still stands."""
    first = frame(0.0)
    return [first, *(replace(first, pts=float(second), held=True) for second in range(1, seconds + 1))]


def test_a_still_is_watched_all_the_time_and_received_once() -> None:
    engine, session = watched([*still(10), frame(11.0)])
    summary = session.summary()
    assert [group.index for group in engine.appended] == list(range(12))  # no gap in eleven seconds
    assert sum(group.num_frames for group in engine.appended) == 2
    assert (summary.received, summary.analysed, summary.dropped) == (2, 2, {})


def test_word_of_a_still_between_two_samples_is_no_dropped_frame() -> None:
    first = frame(0.0)
    _, session = watched([first, *(replace(first, pts=moment / 10, held=True) for moment in range(1, 20))])
    summary = session.summary()
    assert (summary.received, summary.sampled, summary.dropped, summary.pending) == (1, 1, {}, 0)
