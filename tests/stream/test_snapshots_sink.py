"""The judged pictures in a folder: which ones, under which names, and what a bad place means."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stream.errors import SinkUnwritable
from stream.event import Box, Event
from stream.sinks.queued import QueuedSink
from stream.sinks.snapshots import SnapshotsSink

YES = Event(
    stream="front door", task="ask", seq=0, groups=(0, 3), start=0.0, end=7.5, clock="file", age=0.4,
    text="Yes", finish="length", answer="yes", p_yes=0.9,
)  # fmt: skip
FOUND = replace(YES, task="ground:red circle", answer=None, boxes=(Box("red circle", 0.2, 0.2, 0.6, 0.6),))
PICTURE = np.full((120, 160, 3), (200, 90, 30), np.uint8)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_yes_and_a_box_are_kept_and_nothing_else(tmp_path):
    sink = SnapshotsSink(tmp_path / "new" / "kept")
    for event in (YES, FOUND, replace(YES, task="no", answer="no"), replace(FOUND, task="nothing", boxes=())):
        sink.publish(event, PICTURE)
    sink.close()

    assert names(tmp_path / "new" / "kept") == [
        "front-door_0.00.07.500_ask.jpg", "front-door_0.00.07.500_ground-red-circle.jpg",
    ]  # fmt: skip
    with Image.open(tmp_path / "new" / "kept" / "front-door_0.00.07.500_ask.jpg") as kept:
        assert np.abs(np.array(kept).astype(int) - PICTURE).max() < 8  # in its own colours, nothing drawn


def test_of_a_camera_the_time_of_day_is_told_and_no_picture_replaces_another(tmp_path):
    sink = SnapshotsSink(tmp_path)
    for second in (1, 2, 3):
        sink.publish(replace(YES, clock="arrival", time=f"2026-01-31T08:15:0{second}.250Z"), PICTURE)

    assert len(names(tmp_path)) == 3
    assert all(name.startswith("front-door_20") for name in names(tmp_path))


def test_a_place_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "kept"):
        with pytest.raises(SinkUnwritable, match="Choose another folder"):
            SnapshotsSink(path)


def test_a_full_disk_leaves_no_half_picture_and_is_said(tmp_path, largest_file):
    sink = SnapshotsSink(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    with largest_file(1000), pytest.raises(SinkUnwritable, match="Make room"):
        sink.publish(YES, noise)
    assert names(tmp_path) == []
    sink.publish(YES, noise)

    assert len(names(tmp_path)) == 1


def test_a_folder_that_is_gone_is_counted_and_pictures_come_again_when_it_is_back(tmp_path):
    folder = tmp_path / "kept"
    queued = QueuedSink(SnapshotsSink(folder))
    folder.rmdir()
    queued.publish(YES, PICTURE)
    queued.finish()
    queued.join(20)
    assert queued.errors == 1

    folder.mkdir()
    SnapshotsSink(folder).publish(YES, PICTURE)
    assert len(names(folder)) == 1
