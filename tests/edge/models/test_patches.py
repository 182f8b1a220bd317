"""Our pixels against the processors of `transformers`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.models.qwen2_vl.config import VisionConfig
from edge.models.qwen2_vl.patches import normalize, patchify
from stream.resize import resize

CONFIG = VisionConfig(depth=1, embed_dim=32, num_heads=2, mlp_ratio=2, hidden_size=32)
SIZES = pytest.mark.parametrize("height, width", [(56, 84), (112, 112), (28, 140)])


def our_patches(frames: np.ndarray) -> torch.Tensor:
    """(frames, height, width, 3) bytes to (patches, 1176)."""
    groups = torch.from_numpy(frames).unflatten(0, (-1, 2)).permute(0, 1, 4, 2, 3)
    return patchify(normalize(groups), CONFIG).flatten(0, 1)


def random_frames(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@SIZES
def test_video_patches_equal_the_video_processor_bit_for_bit(height: int, width: int) -> None:
    processor = pytest.importorskip("transformers.models.qwen2_vl.video_processing_qwen2_vl").Qwen2VLVideoProcessor()
    frames = random_frames(6, height, width)
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    out = processor(videos=[video], do_resize=False, do_sample_frames=False, return_tensors="pt")
    assert out["video_grid_thw"].tolist() == [[3, height // 14, width // 14]]
    assert torch.equal(our_patches(frames), out["pixel_values_videos"])


@SIZES
def test_a_picture_is_a_group_of_itself_twice(height: int, width: int) -> None:
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl")
    frames = random_frames(1, height, width)
    out = module.Qwen2VLImageProcessor()(images=[frames[0]], do_resize=False, return_tensors="pt")
    assert torch.equal(our_patches(np.repeat(frames, 2, axis=0)), out["pixel_values"])


@SIZES
def test_the_pil_processor_differs_by_rounding_only(height: int, width: int) -> None:
    """It scales to 0..1 before it subtracts the mean: the same numbers, rounded elsewhere."""
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    frames = random_frames(1, height, width)
    out = module.Qwen2VLImageProcessorPil()(images=[frames[0]], do_resize=False, return_tensors="pt")
    assert (our_patches(np.repeat(frames, 2, axis=0)) - out["pixel_values"]).abs().max() < 1e-6


def test_our_resize_is_within_two_grey_levels_of_the_video_processors() -> None:
    """Ours is PIL's bicubic, theirs torchvision's; one grey level is 1 / 255 / 0.26 = 0.015 after normalizing."""
    processor = pytest.importorskip("transformers.models.qwen2_vl.video_processing_qwen2_vl").Qwen2VLVideoProcessor(
        size={"shortest_edge": 56 * 84, "longest_edge": 56 * 84}
    )
    rows, columns = np.indices((200, 300))
    smooth = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    noise = random_frames(1, 200, 300)[0] // 4
    picture = smooth // 2 + noise
    out = processor(videos=[torch.from_numpy(np.stack([picture] * 2)).permute(0, 3, 1, 2)],
                    do_sample_frames=False, return_tensors="pt")  # fmt: skip
    assert out["video_grid_thw"].tolist() == [[1, 4, 6]]
    ours = our_patches(np.stack([resize(picture, (56, 84))] * 2))
    assert (ours - out["pixel_values_videos"]).abs().max() < 0.031
