from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sampler import FrameSampler
from stream.sources.clocks import BACK, FileClock
from stream.testing import frame


def test_a_file_counts_from_its_first_picture_and_never_goes_back() -> None:
    clock = FileClock(0.1)
    assert [clock.pts(own) for own in (7.0, 7.5, 7.2, 9.0)] == [0.0, 0.5, 0.5, 2.0]


def test_a_picture_without_a_time_follows_the_one_before_it() -> None:
    clock = FileClock(0.1)
    assert [clock.pts(own) for own in (None, 7.0, None, 7.5)] == pytest.approx([0.0, 0.1, 0.2, 0.6])


def test_a_file_whose_clock_starts_again_goes_on() -> None:
    clock = FileClock(0.1)
    assert [clock.pts(own) for own in (7.0, 7.1, 9.0, 1.0, 1.1)] == pytest.approx([0.0, 0.1, 2.0, 2.1, 2.2])
    assert clock.restarts == 1


def test_a_leap_ahead_is_a_long_picture_or_where_the_format_says_so_a_new_clock() -> None:
    long, new = FileClock(0.1), FileClock(0.1, jumps=True)
    assert [long.pts(own) for own in (7.0, 47.0)] == [0.0, 40.0]
    assert [new.pts(own) for own in (7.0, 47.0, 47.1)] == pytest.approx([0.0, 0.1, 0.2])
    assert (long.restarts, new.restarts) == (0, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5e4, 5e4), st.integers(12, 60)), min_size=1, max_size=6), st.booleans())
def test_every_period_of_joined_recordings_has_its_sample(recordings: list[tuple[float, int]], jumps: bool) -> None:
    """Whatever times they begin at: with 10 pictures a second and 2 samples a second every fifth is one."""
    clock, sampler, sampled = FileClock(0.1, jumps=jumps), FrameSampler(2.0, (28, 28)), 0
    times = [start + index / 10 for start, count in recordings for index in range(count)]
    for own in times:
        sampler.push(frame(clock.pts(own)))
        sampled += sampler.refused is None
    seams = len(recordings) - 1  # each may cost half a second, where its clocks lie as near as pictures out of order
    assert sampled >= len(times) / 5 - 3 * seams
    assert sampler.seconds >= len(times) / 10 - (BACK + 0.2) * seams - 0.2
