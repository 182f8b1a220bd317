"""Two half pictures in one, as analogue cameras and broadcasters send them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stream.frame import Pixels
from stream.sources import deinterlace, player
from stream.sources.decoding import Decoding
from stream.sources.file import FileSource

Film = Callable[..., Path]
INTERLACED = {
    "h264": ("libx264", {"x264-params": "bff=1", "crf": "5"}),
    "mpeg2": ("mpeg2video", {"flags": "+ilme+ildct", "b": "4M"}),
}
FRAME = Fraction(1, 25)
STILL = 10  # the row of a line that never moves


def woven(index: int) -> Pixels:
    """A bar that moves on between the two halves, odd rows first, and a line of one row that stands still."""
    pixels = np.full((96, 128, 3), 40, np.uint8)
    for half in (0, 1):
        left = 10 + 6 * (2 * index + half)
        pixels[33 - half :: 2, left : left + 20] = 220
    pixels[STILL] = 200
    return pixels


def combs(pixels: Pixels) -> float:
    """How much each row differs from the two beside it, where the bar is."""
    rows = pixels[40:, :, 0].astype(int)
    return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())


@pytest.fixture(params=INTERLACED)
def interlaced(request: pytest.FixtureRequest, tmp_path: Path, film: Film) -> Path:
    codec, options = INTERLACED[request.param]
    return film(tmp_path / "woven.ts", [woven(index) for index in range(6)], codec=codec, options=options)


def test_an_interlaced_picture_has_no_combs_and_keeps_what_stands_still(interlaced: Path) -> None:
    frames = list(FileSource(interlaced))
    assert len(frames) == 6
    for index, frame in enumerate(frames):  # the first has none before it to tell what stands still
        assert frame.pixels.shape == (96, 128, 3)
        assert combs(frame.pixels) < 2
        if index:
            assert frame.pixels[STILL].mean() > 150 > 60 > frame.pixels[STILL + 2].mean()


def test_a_picture_shows_the_time_of_its_first_half(interlaced: Path) -> None:
    frames = list(FileSource(interlaced))
    assert len(frames) == 6
    for index, frame in enumerate(frames):
        bar = np.flatnonzero(frame.pixels[60, :, 0] > 130)
        assert abs(bar.min() - (10 + 12 * index)) <= 3


def test_on_request_halves_stay_woven(interlaced: Path) -> None:
    frames = list(FileSource(interlaced, decoding=Decoding(deinterlace=False)))
    assert len(frames) == 6 and all(combs(frame.pixels) > 20 for frame in frames)


def test_a_progressive_picture_is_left_alone_whatever_it_shows(tmp_path: Path, film: Film) -> None:
    path = film(tmp_path / "stripes.mp4", [woven(index) for index in range(3)], options={"crf": "5"})
    frames = list(FileSource(path))
    assert len(frames) == 3 and all(combs(frame.pixels) > 20 for frame in frames)


def test_only_pictures_that_somebody_looks_at_are_deinterlaced(
    interlaced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[int | None] = []

    def counting(picture: av.VideoFrame, before: av.VideoFrame | None) -> av.VideoFrame:
        worked.append(picture.pts)
        return deinterlace.deinterlaced(picture, before)

    monkeypatch.setattr(player, "deinterlaced", counting)
    frames = list(FileSource(interlaced))
    assert (len(frames), worked) == (6, [])
    assert frames[3].pixels is frames[3].pixels
    assert len(worked) == 1


def test_beside_a_picture_of_another_size_every_second_row_is_all_that_is_known() -> None:
    small, large = (av.VideoFrame.from_ndarray(woven(0)[:rows], format="rgb24") for rows in (64, 96))
    pictures = [picture.reformat(format="yuv420p") for picture in (small, large)]
    for picture in pictures:
        picture.time_base = FRAME
    assert deinterlace.deinterlaced(pictures[1], pictures[0]).height == 48
