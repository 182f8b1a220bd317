from __future__ import annotations

import itertools
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pace import KEPT, MOST, TO_GROW, Pace
from stream.sampler import FrameSampler
from stream.session import Session, Step
from stream.tasks.describe import Describe
from stream.testing import FakeEngine, FakeSink, FakeSource, frame

SIZE = (28, 28)


# The rule


@given(st.floats(0.001, 100.0), st.sampled_from([1.0, 2.0, 5.0]))
def test_rounds_of_one_length_settle_at_the_closest_spacing_that_fits(seconds: float, fps: float) -> None:
    pace = Pace(fps)
    spacings = [pace.after_round(seconds) for _ in range(5 * KEPT)]

    settled = spacings[-1]
    assert settled == max(1, min(math.ceil(seconds * fps / 2 - 1e-9), MOST))
    assert set(spacings) <= {1, settled} and spacings == sorted(spacings)  # it changes once at most


def test_a_single_long_round_changes_nothing() -> None:
    pace = Pace(fps=2.0)
    rounds = [0.5] * 10 + [4.0] + [0.5] * 10

    assert {pace.after_round(seconds) for seconds in rounds} == {1}


def test_the_long_rounds_in_which_a_window_slides_count_with_all_they_take() -> None:
    pace = Pace(fps=2.0)
    for _ in range(10):
        for seconds in [0.8, 0.8, 0.8, 3.2]:  # 1.4 on average: more than a second, the time of a group
            pace.after_round(seconds)

    assert pace.spacing == 2


def test_it_shrinks_when_there_is_time_to_spare_and_not_before() -> None:
    pace = Pace(fps=2.0)
    for _ in range(TO_GROW):
        pace.after_round(2.5)
    assert pace.spacing == 3
    for _ in range(3 * KEPT):
        assert pace.after_round(1.9) == 3  # 2 steps would do, but barely
    for _ in range(2 * KEPT):
        pace.after_round(1.2)
    assert pace.spacing == 2


# The grid


@given(
    st.lists(st.tuples(st.floats(0.01, 0.7), st.sampled_from([1, 1, 1, 2, 3, 5])), min_size=1, max_size=120),
    st.floats(0, 1e6),
)
def test_the_grid_stays_regular_wherever_the_spacing_changes(moves: list[tuple[float, int]], start: float) -> None:
    sampler, made, pts, asked = FrameSampler(2.0, SIZE), [], start, 1
    received = 0
    for step, spacing in moves:
        sampler.spacing = asked = spacing if step > 0.4 else asked
        pts += step
        made += sampler.push(frame(pts))
        received += sampler.refused is None
    pending = sampler.pending
    made += sampler.flush()

    assert received == sum(group.num_frames for group in made) and pending in (0, 1)
    for group in made:
        spacing = group.spacing / 2.0
        assert group.pts == pytest.approx((2 * group.index * spacing, (2 * group.index + 1) * spacing))
    for before, after in itertools.pairwise(made):
        assert after.pts > before.pts if after.spacing == before.spacing else after.pts[1] > before.pts[0]
        assert after.captured >= before.captured


def test_a_wider_window_begins_evenly_with_the_newest_picture() -> None:
    sampler = FrameSampler(2.0, SIZE)
    made = [group for pts in (0.0, 0.5, 1.0, 1.5) for group in sampler.push(frame(pts))]
    sampler.spacing = 3
    made += [group for pts in (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0) for group in sampler.push(frame(pts))]

    # 1.5 lies in the second slot of 1.5 s, which ends its group; the next ones are taken at 3.0 and 4.5.
    assert [(group.spacing, group.pts) for group in made] == [(1, (0.0, 0.5)), (1, (1.0, 1.5)), (3, (3.0, 4.5))]
    assert made[2].captured == 4.5
    assert not made[2].follows(made[1].index, made[1].spacing)


# A session


def test_a_camera_faster_than_the_engine_is_looked_at_less_often_and_answers_speak_of_now() -> None:
    """Time is what the engine takes: one group and its answer take 2.2 s, in which the camera goes on."""
    now, came = [0.0], [0]
    more = [threading.Event() for _ in range(400)]
    script = [item for number, event in enumerate(more) for item in (event, frame(number * 0.5))]
    source, sink = FakeSource(script, live=True), FakeSink()

    def work(seconds: float) -> None:
        now[0] += seconds
        play()

    def play() -> None:
        """The camera, up to now."""
        while came[0] < len(more) and came[0] * 0.5 <= now[0]:
            before = session.ledger.counts().received
            more[came[0]].set()
            came[0] += 1
            while session.ledger.counts().received == before:  # the reader's thread has it, or is about to
                arrived.wait(0.01)
        session.ledger.check()

    arrived = threading.Event()
    engine = FakeEngine(on_append=lambda group: work(1.2), on_answer=lambda prompt: work(1.0))
    session = Session(
        source, engine, [Describe()], [sink],
        fps=2.0, window=4, size=SIZE, clock=lambda: now[0], pace=Pace(2.0),
    )  # fmt: skip
    session.open(lambda: None)
    while now[0] < 150.0 and session.step() is not Step.ENDED:
        work(0.1)
    session.close()

    late = [event for event in sink.events if event.end > 40.0]
    assert {event.spacing for event in late} == {1.5}
    assert all(event.groups[1] - event.groups[0] == 3 or event.groups[1] == event.groups[0] + 2 for event in late)
    assert max(event.age for event in late) <= 2.2 + 0.2
    assert session.summary().spacing == 3
    assert set(session.ledger.check().dropped) <= {"between_samples", "overrun", "stopped"}


def test_a_group_that_arrives_while_a_round_begins_has_waited_no_time() -> None:
    """Nothing waits when the round looks at the time, and it finds a group a moment later."""
    more, arrived, is_watched = threading.Event(), threading.Event(), [False]

    def clock() -> float:
        if is_watched[0]:
            is_watched[0] = False
            more.set()
            while session.ready_at() == math.inf:
                arrived.wait(0.01)
        return 0.0

    source, sink = FakeSource([more, frame(0.0), frame(0.5)], live=True), FakeSink()
    session = Session(
        source, FakeEngine(), [Describe()], [sink], fps=2.0, window=4, size=SIZE, clock=clock, pace=Pace(2.0)
    )
    session.open(lambda: None)
    is_watched[0] = True
    session.step()
    session.close()

    assert session.summary().spacing == 1
    assert session.summary().groups == 1
