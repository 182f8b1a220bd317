"""What the doctor tells of a source."""

from __future__ import annotations

from dataclasses import replace

from edge.commands.doctor import source_report
from stream.testing import FakeSource, frame


def test_a_held_picture_is_not_counted_as_one_that_came() -> None:
    still = [replace(frame(seconds), held=True) for seconds in (0.5, 0.75, 1.5)]
    report = source_report(FakeSource([frame(0.0), still[0], still[1], frame(1.0), still[2], frame(2.0)], live=True))
    assert report["frames"] == 3
    assert report["fps"] == 1.0
