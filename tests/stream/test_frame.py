from __future__ import annotations

import numpy as np

from stream.frame import Frame, LazyPicture, Pixels
from stream.sampler import FrameSampler


class Counted:
    """A picture that knows how often it was converted."""

    def __init__(self, shade: int = 7) -> None:
        self.conversions = 0
        self._shade = shade
        self.picture = LazyPicture((30, 40, 3), self._convert)

    def _convert(self) -> Pixels:
        self.conversions += 1
        return np.full((30, 40, 3), self._shade, np.uint8)


def test_a_picture_is_converted_once_and_only_when_somebody_looks() -> None:
    counted = Counted()
    frame = Frame(counted.picture, 0.0, 0.0, "file")
    assert (frame.shape, counted.conversions) == ((30, 40, 3), 0)
    assert frame.pixels is frame.pixels
    assert (frame.pixels[0, 0, 0], counted.conversions) == (7, 1)


def test_a_frame_is_made_of_an_array_as_well() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    frame = Frame(pixels, 0.0, 0.0, "synthetic")
    assert frame.pixels is pixels and frame.shape == (2, 3, 3)


def test_the_sampler_looks_only_at_the_frames_that_become_samples() -> None:
    sampler = FrameSampler(1.0, (28, 28))
    film = [Counted(index) for index in range(50)]
    groups = []
    for index, counted in enumerate(film):
        groups += sampler.push(Frame(counted.picture, index / 25, 0.0, "file"))
    assert [index for index, counted in enumerate(film) if counted.conversions] == [0, 25]
    assert groups[0].pixels[:, 0, 0, 0].tolist() == [0, 25]
