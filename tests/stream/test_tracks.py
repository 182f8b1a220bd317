"""Which of a file's tracks is watched."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from stream.errors import NoVideo
from stream.sources.file import FileSource

Track = tuple[str, int, int, Disposition]
"""Codec, grey, number of pictures, what the container says of it."""

PLAIN, DEFAULT, COVER = Disposition(0), Disposition.default, Disposition.attached_pic


def tracks(path: Path, tracks: Sequence[Track]) -> Path:
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for codec, _, _, disposition in tracks:
            stream: Any = container.add_stream(codec, rate=25)
            stream.height, stream.width, stream.disposition = 48, 64, disposition
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            streams.append(stream)
        for stream, (_, shade, count, _) in zip(streams, tracks, strict=True):
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), format="rgb24")
                frame = frame.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def shades(path: Path) -> list[int]:
    return [round(float(frame.pixels.mean()), -1) for frame in FileSource(path)]


@pytest.mark.parametrize("marked", [0, 1])
def test_the_track_marked_as_default_is_watched_wherever_it_lies(tmp_path: Path, marked: int) -> None:
    marks = [DEFAULT if index == marked else PLAIN for index in range(2)]
    path = tracks(tmp_path / "two.mkv", [("libx264", 50, 3, marks[0]), ("libx264", 200, 3, marks[1])])
    assert shades(path) == [[50, 200][marked]] * 3


def test_without_a_mark_the_first_track_is_watched(tmp_path: Path) -> None:
    path = tracks(tmp_path / "two.mkv", [("libx264", 50, 3, PLAIN), ("libx264", 200, 3, PLAIN)])
    assert shades(path) == [50] * 3


@pytest.mark.parametrize("disposition", [COVER, PLAIN, DEFAULT])
def test_a_cover_is_passed_over_even_where_nobody_says_that_it_is_one(tmp_path: Path, disposition: Disposition) -> None:
    path = tracks(tmp_path / "song.mp4", [("mjpeg", 50, 1, disposition), ("libx264", 200, 3, DEFAULT)])
    assert shades(path) == [200] * 3


def test_a_video_of_a_single_picture_is_a_video(tmp_path: Path) -> None:
    assert shades(tracks(tmp_path / "one.mp4", [("libx264", 200, 1, DEFAULT)])) == [200]


def test_a_song_with_a_cover_holds_no_video(tmp_path: Path) -> None:
    path = tracks(tmp_path / "song.mp4", [("mjpeg", 50, 1, COVER)])
    with pytest.raises(NoVideo, match="no video, only a cover picture"):
        FileSource(path)
