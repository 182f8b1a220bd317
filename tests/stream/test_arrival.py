from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sources.arrival import ArrivalClock, PlayoutClock, has_clock


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


# Clocks that drift, against arrivals made up here: no real time passes


def watched(seconds: float, drift: float, fps: float, delays: list[float]) -> Iterator[tuple[float, float, float]]:
    """When each picture was taken and when it arrived, and what is made of it; the camera gains `drift` a second."""
    clock = ArrivalClock()
    arrived = 0.0
    for index in range(int(seconds * fps)):
        taken = 100 + index / fps
        arrived = max(arrived, taken + delays[index % len(delays)])  # none overtakes another
        yield taken, arrived, clock.pts(5000 + taken * (1 + drift), arrived)


@pytest.mark.parametrize("drift", [-200e-6, 0, 200e-6])
def test_two_days_of_a_drifting_clock_make_no_gap_and_no_wrong_sample(drift: float) -> None:
    before = 100.0
    for taken, _, pts in watched(48 * 3600, drift, 1.0, [0.02, 0.3, 0.05, 0.9, 0.04, 0.11, 0.5]):
        assert abs(pts - taken) < 0.06  # the least delay, and what the clock drifts in a minute
        assert pts - before < 1.01
        before = pts


@given(
    drift=st.floats(-200e-6, 200e-6),
    fps=st.sampled_from([1.0, 5.0, 12.0]),
    delays=st.lists(st.floats(0, 2), min_size=1, max_size=50),
)
@settings(deadline=None, max_examples=30)
def test_lateness_does_not_get_through(drift: float, fps: float, delays: list[float]) -> None:
    """Once the least delay has been seen, steps are as even as the camera's own, and no time is of the future."""
    seen = list(watched(200, drift, fps, delays))[len(delays) + 1 :]
    for (_, _, before), (_, arrived, after) in pairwise(seen):
        assert abs(after - before - 1 / fps) < 0.0015
        assert after <= arrived + 1e-6


def test_a_delay_that_stays_is_followed_slowly() -> None:
    clock = ArrivalClock()
    for second in range(100):
        assert clock.pts(second, 100 + second) == pytest.approx(100 + second)
    for second in range(100, 159):  # a longer way through the network
        assert clock.pts(second, 101 + second) == pytest.approx(100 + second)
    for second in range(159, 2000):
        pts = clock.pts(second, 101 + second)
        assert 0 <= pts - (100 + second) <= 1e-3 * (second - 157)
    assert pts == pytest.approx(101 + 1999)


@pytest.mark.parametrize(
    ("name", "believed"),
    [
        *((name, False) for name in ("mpjpeg", "mjpeg", "jpeg_pipe", "image2pipe", "h264")),
        *((name, True) for name in ("flv", "mpegts", "mov", "rtsp", "video4linux2", "hls")),
    ],
)
def test_times_that_ffmpeg_made_up_are_not_believed(name: str, believed: bool) -> None:
    container: Any = SimpleNamespace(format=av.ContainerFormat(name, "r"))
    assert has_clock(container) is believed


# Video in pieces


def test_a_piece_is_played_as_it_was_taken() -> None:
    clock = PlayoutClock()
    assert [clock.due(own, 100.0) for own in (7.0, 7.5, 8.0)] == [100.0, 100.5, 101.0]
    assert clock.due(8.5, 101.4) == 101.5


def test_a_piece_that_comes_a_little_late_keeps_its_place() -> None:
    clock = PlayoutClock()
    clock.due(7.0, 100.0)
    assert clock.due(8.0, 102.5) == 101.0


@pytest.mark.parametrize(("own", "now"), [(8.0, 104.5), (20.0, 101.0), (0.5, 101.0), (None, 101.0)])
def test_playing_begins_anew_after_a_hole(own: float | None, now: float) -> None:
    clock = PlayoutClock()
    clock.due(7.0, 100.0)
    assert clock.due(own, now) == now
    assert clock.due(7.1, 0.0) >= now  # and never goes back
