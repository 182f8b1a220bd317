from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stream.errors import SourceUnreadable
from stream.sources.address import open_source
from stream.sources.file import FileSource
from stream.sources.folder import FolderSource

FORMATS = ["gif", "webp", "png"]
SHADES = (0, 100, 200, 250)


def animate(path: Path, durations: list[int], **options: object) -> Path:
    """As many pictures, each brighter than the one before and shown for so many milliseconds."""
    first, *rest = (Image.new("RGB", (32, 24), (shade,) * 3) for shade in SHADES[: len(durations)])
    kind = {"gif": "GIF", "webp": "WEBP", "png": "PNG"}[path.suffix.lstrip(".")]
    first.save(path, kind, save_all=True, append_images=rest, duration=durations, **options)
    return path


def shown(path: Path) -> list[tuple[float, int]]:
    return [(round(frame.pts, 3), round(int(frame.pixels.mean()), -1)) for frame in open_source(str(path))]


@pytest.mark.parametrize("suffix", FORMATS)
def test_each_picture_is_shown_at_its_time(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a.{suffix}", [100, 500, 40, 300])

    assert shown(path) == [(0.0, 0), (0.1, 100), (0.6, 200), (0.64, 250)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_that_stays_is_shown_again_so_that_its_time_is_no_hole(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a.{suffix}", [2500, 1000])

    assert shown(path) == [(0.0, 0), (1.0, 0), (2.0, 0), (2.5, 100)]


def test_a_time_that_no_screen_can_show_is_taken_as_browsers_do(tmp_path: Path) -> None:
    assert shown(animate(tmp_path / "a.gif", [0, 10, 100])) == [(0.0, 0), (0.1, 100), (0.2, 200)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_moves_is_known_by_its_content_not_its_name(tmp_path: Path, suffix: str) -> None:
    path = animate(tmp_path / f"a.{suffix}", [100, 100]).rename(tmp_path / "clip.video")

    assert [pts for pts, _ in shown(path)] == [0.0, 0.1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_picture_that_does_not_move_is_one_frame(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (32, 24), (100,) * 3).save(tmp_path / f"a.{suffix}")

    assert shown(tmp_path / f"a.{suffix}") == [(0.0, 100)]


def test_pages_are_no_animation(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (32, 24), (shade,) * 3) for shade in (0, 100))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])

    assert shown(tmp_path / "pages.tif") == [(0.0, 0)]


def test_the_picture_for_viewers_that_know_no_animation_is_left_out(tmp_path: Path) -> None:
    path = animate(tmp_path / "a.png", [100, 100, 100], default_image=True)

    assert [shade for _, shade in shown(path)] == [100, 200]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (32, 24), (0, 0, shade, 0)) for shade in (0, 255)]
    frames[0].save(
        tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True, exact=True
    )

    pictures = list(FileSource(tmp_path / "a.webp"))
    assert len(pictures) == 2 and all((frame.pixels == 255).all() for frame in pictures)


def test_an_animation_can_be_iterated_again_and_closed(tmp_path: Path) -> None:
    source = FileSource(animate(tmp_path / "a.gif", [100, 100, 100]))
    assert len(list(source)) == len(list(source)) == 3

    for _ in (frames := iter(source)):
        source.close()
    assert next(frames, None) is None


def test_one_that_breaks_off_gives_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(4)]
    path = tmp_path / "a.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])

    assert len(list(FileSource(path))) in (2, 3)
    assert "breaks off after" in caplog.text


def test_one_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="32x24 is more than 700 pixels"):
        FileSource(animate(tmp_path / "a.webp", [100, 100]), max_pixels=700)


def test_in_a_folder_an_animation_is_its_first_picture(tmp_path: Path) -> None:
    animate(tmp_path / "a.gif", [100, 100])
    animate(tmp_path / "b.webp", [100, 100])

    assert [int(frame.pixels.mean()) for frame in FolderSource(tmp_path)] == [0, 0]
