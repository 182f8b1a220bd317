from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from edge.errors import ModelUnreadable
from edge.media.limits import Limits, PixelLimits
from edge.models.qwen2_vl import QWEN2_VL

USUAL = QWEN2_VL.limits
IMAGE, VIDEO = USUAL.image, USUAL.video


@pytest.mark.parametrize(
    ("image", "video", "expected"),
    [
        (None, None, (IMAGE, VIDEO)),
        ('{"min_pixels": 3136, "max_pixels": 12845056}', None, (PixelLimits(3136, 12845056), VIDEO)),
        (
            '{"size": {"shortest_edge": 3136, "longest_edge": 12845056}}',
            '{"size": {"shortest_edge": 10, "longest_edge": 20}}',
            (PixelLimits(3136, 12845056), PixelLimits(10, 20)),
        ),
        (
            '{"min_pixels": 12544, "max_pixels": 22400}',
            None,
            (PixelLimits(12544, 22400), PixelLimits(12544, 22400)),
        ),
        ('{"do_resize": true}', "{}", (IMAGE, VIDEO)),
        ('{"max_pixels": 22400}', None, (PixelLimits(3136, 22400), PixelLimits(3136, 22400))),
        ('{"max_pixels": 800}', '{"min_pixels": 900000}', (PixelLimits(800, 800), PixelLimits(900000, 900000))),
    ],
)
def test_limits_come_from_the_model_folder(tmp_path: Path, image, video, expected) -> None:
    for name, content in (("preprocessor_config.json", image), ("video_preprocessor_config.json", video)):
        if content:
            (tmp_path / name).write_text(content)

    assert Limits.load(tmp_path, USUAL) == Limits(*expected, USUAL.largest, USUAL.cell)


SMALL, LARGE = {"min_pixels": 100, "max_pixels": 200}, {"size": {"shortest_edge": 300, "longest_edge": 400}}


@pytest.mark.parametrize(
    ("nested", "own", "expected"),
    [
        ({"image_processor": SMALL, "video_processor": LARGE}, {}, (PixelLimits(100, 200), PixelLimits(300, 400))),
        ({"image_processor": LARGE}, {}, (PixelLimits(300, 400), PixelLimits(300, 400))),
        ({"image_processor": LARGE}, SMALL, (PixelLimits(300, 400), PixelLimits(300, 400))),
        ({"image_processor": None, "processor_class": "Qwen2VLProcessor"}, SMALL, (PixelLimits(100, 200),) * 2),
        ({"video_processor": LARGE}, SMALL, (PixelLimits(100, 200), PixelLimits(300, 400))),
        ({"image_processor": SMALL | LARGE}, {}, (PixelLimits(100, 200),) * 2),
    ],
)
def test_limits_may_be_written_as_transformers_5_does(tmp_path: Path, nested: dict, own: dict, expected) -> None:
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(own))

    assert Limits.load(tmp_path, USUAL) == Limits(*expected, USUAL.largest, USUAL.cell)


def test_a_folder_without_limits_is_told_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(SMALL))
    Limits.load(tmp_path, USUAL)
    assert not caplog.messages

    (tmp_path / "preprocessor_config.json").unlink()
    assert Limits.load(tmp_path, USUAL) == USUAL
    assert len(caplog.messages) == 1 and "its family's limits are used" in caplog.text


@pytest.mark.parametrize("content", ["{", "[]", '{"min_pixels": "a", "max_pixels": 3}', '{"size": 3}'])
def test_unreadable_limits_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)

    with pytest.raises(ModelUnreadable, match="preprocessor_config"):
        Limits.load(tmp_path, USUAL)


def test_a_processor_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, encoding: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "preprocessor_config.json").write_text("{}")
    monkeypatch.setattr(Path, "read_text", denied)

    with pytest.raises(ModelUnreadable, match=r"preprocessor_config\.json cannot be read \(Permission denied\)"):
        Limits.load(tmp_path, USUAL)
