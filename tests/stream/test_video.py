"""An MP4 that outlives its writer: killed, cut off by a full disk, read while it grows, closed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.errors import SinkUnwritable
from stream.sinks.video import Video

LargestFile = Callable[[int], AbstractContextManager[None]]

SIZE = (320, 240)
NUM = 12

WRITER = """
import signal, sys
import numpy as np
from pathlib import Path
from stream.sinks.video import Video

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
video = Video(Path(sys.argv[1]), 320, 240)
for second in range(12):
    video.add(np.full((240, 320, 3), 20 * second, np.uint8), float(second))
print("written", flush=True)
sys.stdin.read()
"""


def picture(second: int) -> NDArray[np.uint8]:
    return np.random.default_rng(second).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)


def times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [frame.time for frame in file.decode(video=0)]


def duration(path: Path) -> float:
    with av.open(str(path)) as file:
        return file.duration / 1e6


def boxes(path: Path) -> list[bytes]:
    """Names of the MP4's outermost boxes."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8])
        at += size if size > 1 else int.from_bytes(data[at + 8 : at + 16], "big")
    return names


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGHUP])
def test_a_writer_that_is_killed_leaves_all_but_the_newest_picture(death: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "seen.mp4"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(death)
        assert writer.wait() == -death

    assert times(path) == pytest.approx(list(range(NUM - 1)))
    assert duration(path) == pytest.approx(NUM - 1)


def test_it_can_be_played_while_it_grows(tmp_path: Path) -> None:
    video = Video(tmp_path / "seen.mp4", *SIZE)
    for second in range(5):
        video.add(picture(second), second)
        if second:
            assert len(times(video.path)) == second
    video.close()

    assert len(times(video.path)) == 5


def test_closed_it_is_an_ordinary_mp4_that_knows_its_duration(tmp_path: Path) -> None:
    video = Video(tmp_path / "seen.mp4", *SIZE)
    for second in range(5):
        video.add(picture(second), second)
    grown = boxes(video.path)
    video.close()

    assert b"moof" in grown
    assert b"moof" not in boxes(video.path) and boxes(video.path).count(b"moov") == 1
    assert duration(video.path) == pytest.approx(5.0)


def test_a_full_disk_is_told_at_once_and_the_file_ends_with_a_whole_picture(
    tmp_path: Path, largest_file: LargestFile
) -> None:
    video = Video(tmp_path / "seen.mp4", *SIZE)
    added = 0
    with largest_file(200_000), pytest.raises(SinkUnwritable, match=r"disk took no more \(File too large\)"):
        for second in range(1000):
            video.add(picture(second), second)
            added += 1

    assert 0 < added < 1000
    assert len(times(video.path)) == added - 1
    assert set(boxes(video.path)) == {b"ftyp", b"moov", b"moof", b"mdat", b"free"}
    with pytest.raises(SinkUnwritable, match="can be played"):
        video.add(picture(0), added)
    video.close()
    assert len(times(video.path)) == added - 1


def test_a_disk_that_is_full_at_the_end_leaves_the_file_as_it_grew(tmp_path: Path, largest_file: LargestFile) -> None:
    video = Video(tmp_path / "seen.mp4", *SIZE)
    for second in range(5):
        video.add(picture(second), second)
    with largest_file(video.path.stat().st_size + 10), pytest.raises(SinkUnwritable, match="can be played"):
        video.close()

    assert times(video.path) == pytest.approx([0, 1, 2, 3])


def test_a_disk_without_room_for_anything_is_told_too(tmp_path: Path, largest_file: LargestFile) -> None:
    video = Video(tmp_path / "seen.mp4", *SIZE)
    with largest_file(10), pytest.raises(SinkUnwritable, match="disk took no more"):
        video.add(picture(0), 0)
    video.close()
