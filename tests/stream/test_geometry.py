"""The eight ways to lay a picture, and pixels that are not square."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stream.frame import Pixels
from stream.sampler import FrameSampler
from stream.sources.file import FileSource
from stream.sources.geometry import MATRIX, Orientation, square

Film = Callable[..., Path]
ONE = 1 << 16

# (a, b, c, d): the point (x, y) is shown at (a x + c y, b x + d y). What it does to an array, by other words.
EIGHT: dict[tuple[int, int, int, int], Callable[[Pixels], Pixels]] = {
    (1, 0, 0, 1): lambda pixels: pixels,
    (0, 1, -1, 0): lambda pixels: np.rot90(pixels, -1),  # clockwise: what is at the left comes to the top
    (-1, 0, 0, -1): lambda pixels: np.rot90(pixels, 2),
    (0, -1, 1, 0): lambda pixels: np.rot90(pixels, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda pixels: np.swapaxes(pixels, 0, 1),
    (0, -1, -1, 0): lambda pixels: np.rot90(np.swapaxes(pixels, 0, 1), 2),
}


def matrix(a: int, b: int, c: int, d: int) -> list[int]:
    return [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]


@pytest.fixture(scope="module")
def quarters() -> Pixels:
    """Four quarters of different grey, higher than wide by none of the eight."""
    return np.repeat(np.kron([[0, 80], [160, 240]], np.ones((60, 80))).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("numbers", EIGHT)
def test_each_of_the_eight_orientations_is_put_upright(numbers: tuple[int, int, int, int], quarters: Pixels) -> None:
    orientation = Orientation.of_matrix(MATRIX.pack(*matrix(*numbers)))
    upright = orientation.apply(quarters)
    assert (upright == EIGHT[numbers](quarters)).all()
    assert upright.shape == orientation.shape(120, 160) and upright.flags.c_contiguous


@pytest.mark.parametrize("numbers", EIGHT)
def test_a_file_in_any_orientation_is_shown_upright(
    tmp_path: Path, numbers: tuple[int, int, int, int], quarters: Pixels, film: Film
) -> None:
    path = film(tmp_path / "phone.mp4", [quarters])
    written = bytearray(path.read_bytes())
    start = written.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    written[start : start + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in matrix(*numbers))
    path.write_bytes(written)
    [frame] = FileSource(path)
    expected = EIGHT[numbers](quarters)
    assert frame.shape == frame.pixels.shape == expected.shape
    assert np.abs(frame.pixels.astype(int) - expected).mean() < 5


def test_half_a_matrix_turns_nothing() -> None:
    assert Orientation.of_matrix(bytes(20)) == Orientation() == Orientation.of_matrix(bytes(36))


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (None, (288, 704)),
        (Fraction(1), (288, 704)),
        (Fraction(6, 11), (528, 704)),
        (Fraction(16, 11), (288, 1024)),
        (Fraction(1, 5000), (288, 704)),  # damage
        (Fraction(5000), (288, 704)),
        (Fraction(0), (288, 704)),
    ],
)
def test_pixels_become_square_and_no_side_loses_any(aspect: Fraction | None, size: tuple[int, int]) -> None:
    assert square(288, 704, aspect) == size


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "h264"])
def test_a_file_with_oblong_pixels_shows_round_things_round(tmp_path: Path, suffix: str, film: Film) -> None:
    rows, columns = np.mgrid[:144, :352]
    inside = ((rows - 72) * 11 / 6) ** 2 + (columns - 176) ** 2 < 100**2  # a disc in pixels of 6:11
    path = film(
        tmp_path / f"cif.{suffix}", [np.repeat(inside[..., None] * np.uint8(255), 3, 2)], aspect=Fraction(6, 11)
    )
    [frame] = FileSource(path)
    assert frame.shape == frame.pixels.shape == (264, 352, 3)
    white = np.argwhere(frame.pixels[..., 0] > 128)
    height, width = np.ptp(white, axis=0)
    assert abs(height - width) <= 3


def test_a_new_pixel_shape_in_the_middle_is_a_change_of_size(tmp_path: Path, film: Film) -> None:
    plain = [np.full((144, 176, 3), 90, np.uint8)] * 4
    parts = [film(tmp_path / f"{n}.h264", plain, aspect=Fraction(n, 3)).read_bytes() for n in (3, 4, 6)]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(parts))
    frames = list(FileSource(joined))
    assert [frame.shape[1] for frame in frames] == [176] * 4 + [235] * 4 + [352] * 4
    sampler = FrameSampler(25.0, (28, 28))
    for frame in frames:
        sampler.push(frame)
    assert sampler.resolution_changes == 2
