"""Pushed pictures are looked at or counted; nothing waits, and what is no picture is refused where it was pushed."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import BadFrame, SourceClosed
from stream.session import Session
from stream.sources.push import ROOM, PushSource
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink

PICTURE = np.full((28, 28, 3), 90, np.uint8)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def taken(source: PushSource) -> list[Any]:
    source.close()
    return list(source)


def watched(source: PushSource, engine: FakeEngine | None = None) -> Session:
    return Session(source, engine or FakeEngine(), [Describe()], [FakeSink()], fps=2.0, window=4, size=(28, 28))


def test_a_picture_is_copied_and_keeps_its_time() -> None:
    source, picture = PushSource("arm", clock=Clock(100.0)), PICTURE.copy()

    source.push(picture, captured=99.5)
    picture[:] = 0

    (frame,) = taken(source)
    assert np.array_equal(frame.pixels, PICTURE)
    assert (frame.pts, frame.captured, frame.clock) == (99.5, 99.5, "arrival")


def test_without_a_time_a_picture_was_taken_now() -> None:
    source = PushSource(clock=Clock(7.25))
    source.push(PICTURE)
    (frame,) = taken(source)
    assert (frame.pts, frame.captured) == (7.25, 7.25)


def test_a_clock_of_its_own_gives_the_spacing_and_arrival_the_age() -> None:
    clock = Clock()
    source = PushSource(own_clock=True, clock=clock)
    for number in range(4):
        clock.now = 100.0 + number / 4 + (0.1 if number == 2 else 0.0)  # one arrives late
        source.push(PICTURE, captured=1.7e9 + number / 4)

    frames = taken(source)

    assert np.diff([frame.pts for frame in frames]) == pytest.approx([0.25] * 3, abs=2e-3)
    assert [frame.captured for frame in frames] == [100.0, 100.25, 100.6, 100.75]


def test_grey_becomes_rgb_and_a_view_is_made_dense() -> None:
    source = PushSource()
    source.push(PICTURE[..., 0])
    source.push(PICTURE[::2, ::-1, ::-1])
    grey, view = taken(source)
    assert np.array_equal(grey.pixels, PICTURE)
    assert view.pixels.shape == (14, 28, 3) and view.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "captured", "match"),
    [
        (PICTURE / 255, None, "uint8.*float64"),
        (PICTURE.astype(np.int16), None, "int16"),
        (PICTURE.tolist(), None, "numpy array.*a list"),
        (None, None, "None"),
        (np.zeros((28, 28, 4), np.uint8), None, "alpha"),
        (np.zeros((2, 28, 28, 3), np.uint8), None, "one picture at a time"),
        (np.zeros((3, 28, 28), np.uint8), None, r"\(3, 28, 28\).*transpose\(1, 2, 0\)"),
        (np.zeros((0, 28, 3), np.uint8), None, "28x0"),
        (np.zeros(9, np.uint8), None, r"\(9,\)"),
        (PICTURE, math.nan, "finite"),
        (PICTURE, math.inf, "finite"),
        (PICTURE, "now", "a str"),
        (PICTURE, 1.7e9, "own_clock=True"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_do(array: Any, captured: Any, match: str) -> None:
    source = PushSource(clock=Clock())
    with pytest.raises(BadFrame, match=match):
        source.push(array, captured)
    assert source.unread == 0


@pytest.mark.parametrize("name", ["", "  ", 7, None])
def test_a_source_has_a_name(name: Any) -> None:
    with pytest.raises(ValueError, match="name"):
        PushSource(name)


def test_after_its_close_nothing_can_be_pushed_and_what_was_is_seen() -> None:
    source = PushSource("arm")
    source.push(PICTURE)
    source.close()
    source.close()
    with pytest.raises(SourceClosed, match="arm is closed"):
        source.push(PICTURE)
    assert watched(source).run().received == 1


@given(st.integers(0, 5 * ROOM))
def test_what_is_pushed_faster_than_read_is_counted_as_overrun(count: int) -> None:
    source = PushSource(clock=Clock())
    for number in range(count):
        source.push(PICTURE, captured=50.0 + number)

    assert source.unread == count
    source.close()
    summary = watched(source).run()

    assert summary.received == count
    assert summary.dropped.get("overrun", 0) >= max(0, count - ROOM)
    assert summary.received == summary.analysed + sum(summary.dropped.values())


def test_pictures_out_of_order_and_of_another_size_are_counted() -> None:
    source = PushSource(clock=Clock())
    for pts, side in [(50.0, 28), (50.6, 28), (48.0, 28), (51.0, 56), (51.6, 56)]:
        source.push(np.zeros((side, side, 3), np.uint8), captured=pts)
    source.close()

    summary = watched(source).run()

    assert (summary.received, summary.resolution_changes) == (5, 1)
    assert summary.dropped["out_of_order"] == 1


def test_pushed_from_many_threads_until_the_watch_is_stopped_every_picture_is_accounted_for() -> None:
    source, accepted = PushSource(), []
    seen = threading.Event()
    session = watched(source, FakeEngine(on_append=lambda group: seen.set()))

    def push() -> None:
        try:
            while True:
                source.push(PICTURE)
                accepted.append(1)
        except SourceClosed:
            pass

    threads = [threading.Thread(target=push) for _ in range(3)]
    watching = threading.Thread(target=session.run)
    for thread in (watching, *threads):
        thread.start()
    assert seen.wait(30)
    session.stop()
    for thread in (watching, *threads):
        thread.join(30)

    summary = session.summary()
    session.ledger.check()
    assert summary.ended == "stopped"
    assert summary.received == len(accepted)
