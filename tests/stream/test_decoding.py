from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream.sources.decoding import FileClock


def file_clock(fps: int | None = 10) -> FileClock:
    track: Any = SimpleNamespace(average_rate=fps)
    return FileClock(track)


def test_a_file_counts_from_its_first_picture_and_never_goes_back() -> None:
    clock = file_clock()
    assert [clock.pts(own) for own in (7.0, 7.5, 7.2, 9.0)] == [0.0, 0.5, 0.5, 2.0]


def test_a_picture_without_a_time_follows_the_one_before_it() -> None:
    clock = file_clock()
    assert [clock.pts(own) for own in (None, 7.0, None, 7.5)] == pytest.approx([0.0, 0.1, 0.2, 0.6])
    assert [file_clock(None).pts(None), 0.04] == [0.0, 0.04]
