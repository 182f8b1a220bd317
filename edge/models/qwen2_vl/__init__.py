"""Qwen2-VL (arXiv 2409.12191): the 2B and 7B models, and checkpoints made from them.

`layout` is how its prompts lie; `config`, `vision`, `language`, `model` and `architecture` are the network in plain
PyTorch, imported only where a network is wanted.
"""

from __future__ import annotations

from edge.models.family import Family, PictureLimits, PixelLimits
from edge.models.qwen2_vl.layout import LAYOUT

CELL = 28  # pixels per side of a token: patches of 14, merged 2 by 2

QWEN2_VL = Family(
    name="qwen2_vl",
    title="Qwen2-VL",
    layout=LAYOUT,
    limits=PictureLimits(
        image=PixelLimits(4 * CELL**2, 1280 * CELL**2),
        video=PixelLimits(128 * CELL**2, 768 * CELL**2),  # as in qwen-vl-utils and transformers
        largest=16384 * CELL**2,  # of its own processor
        cell=CELL,
    ),
    architecture_path="edge.models.qwen2_vl.architecture:ARCHITECTURE",
)
