"""What each of several cameras has of its own, and what all share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.commands.cameras import check_files, crops_of, overlays_of, sinks_of
from edge.errors import OutputRefused
from stream.crop import WHOLE, Crop
from stream.naming import name_cameras
from stream.sinks.overlay import OverlaySink
from stream.testing import FakeSink

THREE = name_cameras(["front=rtsp://h/1", "back door=rtsp://h/2", "rtsp://h/3"])
LEFT, TOP = Crop(0, 0, 0.5, 1), Crop(0, 0, 1, 0.5)


@pytest.mark.parametrize(
    ("words", "crops"),
    [
        (None, [WHOLE, WHOLE, WHOLE]),
        (["0,0,.5,1"], [LEFT, LEFT, LEFT]),
        (["back door=0,0,1,.5"], [WHOLE, TOP, WHOLE]),
        (["0,0,.5,1", "front = 0,0,1,.5"], [TOP, LEFT, LEFT]),
        (["rtsp://h/3=0,0,1,.5"], [WHOLE, WHOLE, TOP]),
    ],
)
def test_a_crop_is_for_all_or_for_one(words: list[str] | None, crops: list[Crop]) -> None:
    assert crops_of(words, THREE) == crops


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["side=0,0,1,.5"], "no camera is called 'side'. There are: front, back door"),
        (["=0,0,1,.5"], "no camera is called"),
        (["front=0,0,1,.5", "front=0,0,1,.5"], "front had one already"),
        (["0,0,.5,1", "0,0,.5,1"], "all cameras had one already"),
        (["front=1,2,3"], "no four numbers"),
        ([""], "no four numbers"),
    ],
)
def test_a_crop_for_nobody_or_for_one_that_has_one_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        crops_of(words, THREE)


def test_each_camera_has_a_video_of_its_own_and_a_sole_one_the_file_that_was_named() -> None:
    assert overlays_of(None, THREE) == [None] * 3
    assert overlays_of(Path("v/door.mp4"), THREE) == [
        Path("v/door-front.mp4"), Path("v/door-back-door.mp4"), Path("v/door-rtsp-h-3.mp4"),
    ]  # fmt: skip
    assert overlays_of(Path("door.mp4"), THREE[:1]) == [Path("door.mp4")]


def test_no_camera_writes_over_what_another_one_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-front.mp4").touch()
    cameras = name_cameras(["front=rtsp://h/1", "film=a-front.mp4"])
    overlays = overlays_of(Path("a.mp4"), cameras)
    with pytest.raises(OutputRefused, match=r"--overlay front a-front\.mp4 is the source film"):
        check_files(cameras, "pocket", out=None, overlays=overlays, snapshots=None)
    with pytest.raises(OutputRefused, match="--out kept and --snapshots kept are the same"):
        check_files(cameras, "pocket", out=Path("kept"), overlays=[None, None], snapshots=Path("kept"))


def test_all_write_to_one_file_and_each_to_its_own_video(tmp_path: Path) -> None:
    own = FakeSink()
    overlays = overlays_of(tmp_path / "door.mp4", THREE)
    sinks = sinks_of(
        THREE, as_json=True, out=tmp_path / "events.jsonl", overlays=overlays, snapshots=tmp_path / "kept", others=[own]
    )

    assert [len(each) for each in sinks] == [5, 5, 5]
    videos = [sink for each in sinks for sink in each if isinstance(sink, OverlaySink)]
    assert [video.path for video in videos] == overlays
    for each in sinks:
        assert not own.is_closed
        for sink in each:
            sink.close()
    assert own.is_closed and json.dumps([path.name for path in tmp_path.iterdir()]).count("events.jsonl") == 1
