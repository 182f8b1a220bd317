from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ModelUnreadable
from edge.media.limits import IMAGE, VIDEO, Limits, PixelLimits


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
    ],
)
def test_limits_come_from_the_model_folder(tmp_path: Path, image, video, expected) -> None:
    for name, content in (("preprocessor_config.json", image), ("video_preprocessor_config.json", video)):
        if content:
            (tmp_path / name).write_text(content)

    assert Limits.load(tmp_path) == Limits(*expected)


@pytest.mark.parametrize("content", ["{", "[]", '{"min_pixels": "a", "max_pixels": 3}', '{"size": 3}'])
def test_unreadable_limits_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content)

    with pytest.raises(ModelUnreadable, match="preprocessor_config"):
        Limits.load(tmp_path)
