from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.errors import NoVideo, SourceNotFound
from stream.sampler import groups
from stream.sources.folder import FolderSource


def save(path: Path, brightness: int) -> None:
    cv2.imwrite(str(path), np.full((12, 16, 3), brightness, np.uint8))


def test_pictures_come_in_the_order_people_number_them(tmp_path: Path) -> None:
    for index, name in enumerate(["1.png", "2.png", "10.png", "a2b.png", "A10b.png", "b.png"]):
        save(tmp_path / name, index * 10)
    frames = list(FolderSource(tmp_path))
    assert [int(frame.pixels.mean()) for frame in frames] == [0, 10, 20, 30, 40, 50]
    assert [frame.pts for frame in frames] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert {frame.clock for frame in frames} == {"file"}


def test_the_rate_is_an_option(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 0)
    save(tmp_path / "b.png", 0)
    assert [frame.pts for frame in FolderSource(tmp_path, fps=10)] == [0.0, 0.1]
    with pytest.raises(ValueError, match="fps 0"):
        FolderSource(tmp_path, fps=0)


def test_each_picture_stands_until_the_next_is_due_however_slow_they_are(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 0)
    save(tmp_path / "b.png", 200)
    made = list(groups(FolderSource(tmp_path, fps=0.1), 1.0, (28, 28)))
    assert [group.index for group in made] == list(range(10))
    assert [int(group.pixels.mean()) for group in made] == [0] * 5 + [200] * 5


def test_what_cannot_be_read_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "1.png", 10)
    (tmp_path / "2.png").write_text("no picture")
    (tmp_path / "3.jpg").touch()
    save(tmp_path / "4.png", 40)
    (tmp_path / "notes.txt").write_text("no picture either")
    (tmp_path / "sub.png").mkdir()
    source = FolderSource(tmp_path)
    assert [(int(frame.pixels.mean()), frame.pts) for frame in source] == [(10, 0.0), (40, 0.5)]
    assert source.skipped == 2
    assert "2.png" in caplog.text and "3.jpg" in caplog.text


def test_the_name_of_a_picture_is_no_command_to_the_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a\x1b]0;owned\x07b.png").write_text("no picture")
    save(tmp_path / "c.png", 10)

    assert len(list(FolderSource(tmp_path))) == 1
    assert "ab.png" in caplog.text and "\x1b" not in caplog.text


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(NoVideo, match="no pictures"):
        FolderSource(tmp_path)


def test_a_folder_of_broken_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_text("no picture")
    with pytest.raises(NoVideo, match="not one"):
        list(FolderSource(tmp_path))


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        FolderSource(tmp_path / "nothing")


def test_close_ends_the_iteration(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 10)
    save(tmp_path / "2.png", 10)
    source = FolderSource(tmp_path)
    shown = 0
    for _ in source:
        shown += 1
        source.close()
    assert shown == 1
