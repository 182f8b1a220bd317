from __future__ import annotations

import pytest

from stream.sources.clocks import ArrivalClock, FileClock


def test_a_file_counts_from_its_first_picture_and_never_goes_back() -> None:
    clock = FileClock(0.1)
    assert [clock.pts(own) for own in (7.0, 7.5, 7.2, 9.0)] == [0.0, 0.5, 0.5, 2.0]


def test_a_picture_without_a_time_follows_the_one_before_it() -> None:
    clock = FileClock(0.1)
    assert [clock.pts(own) for own in (None, 7.0, None, 7.5)] == pytest.approx([0.0, 0.1, 0.2, 0.6])


def test_bursts_of_arrival_are_spaced_as_the_camera_says() -> None:
    clock = ArrivalClock()
    assert clock.pts(50.0, 100.0) == 100.0
    assert clock.pts(50.5, 100.9) == 100.5
    assert clock.pts(51.0, 101.0) == 101.0


def test_no_picture_is_from_the_future() -> None:
    clock = ArrivalClock()
    clock.pts(50.0, 100.5)  # was underway half a second longer than the next
    assert clock.pts(51.0, 101.0) == 101.0
    assert clock.pts(52.0, 102.3) == 102.0


def test_a_camera_clock_that_jumps_is_not_believed() -> None:
    clock = ArrivalClock(diverged=3)
    clock.pts(50.0, 100.0)
    assert clock.pts(9999.0, 101.0) == 101.0
    assert clock.pts(3.0, 102.0) == 102.0
    assert clock.pts(3.5, 102.6) == 102.5


def test_pictures_without_a_time_have_the_time_of_their_arrival() -> None:
    clock = ArrivalClock()
    assert [clock.pts(None, 100.0), clock.pts(None, 100.2)] == [100.0, 100.2]


def test_arrival_never_goes_back() -> None:
    clock = ArrivalClock()
    assert clock.pts(50.0, 100.0) == 100.0
    assert clock.pts(49.0, 100.1) == 100.0
