"""From two frames to the flat, normalized patches the vision tower reads.

The one place that knows the pixel statistics and the order of patches. The picture already has its
final size: resizing is `stream.resize`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from edge.models.qwen2_vl.config import VisionConfig

# OpenAI CLIP's statistics, which every Qwen2-VL checkpoint names in its preprocessor_config.json.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def normalize(frames: Tensor) -> Tensor:
    """(..., 3, height, width) bytes to float32 with CLIP's mean and deviation.

    Scaling to 0..1 is folded into the two constants, as the torchvision processors of transformers
    do, so that the result equals theirs bit for bit.
    """
    mean, std = _statistics(frames.device)
    return (frames.float() - mean) / std


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """In units of a byte, (3, 1, 1) each: made once, since a captured step may copy nothing to its device."""
    with torch.inference_mode(False):
        mean, std = (torch.tensor(numbers)[:, None, None].to(device) * 255 for numbers in (MEAN, STD))
    return mean, std


def patchify(frames: Tensor, config: VisionConfig) -> Tensor:
    """(groups, 2, 3, height, width) to (groups, patches, patch_dim), merge x merge neighbours together."""
    groups, time, channels, height, width = frames.shape
    patch, merge = config.patch_size, config.spatial_merge_size
    blocks = frames.reshape(
        groups, time, channels,
        height // patch // merge, merge, patch,
        width // patch // merge, merge, patch,
    )  # fmt: skip
    blocks = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return blocks.reshape(groups, (height // patch) * (width // patch), config.patch_dim)
