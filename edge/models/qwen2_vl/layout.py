"""How Qwen2-VL writes pictures and video between text, and where each token stands in time, row and column (M-RoPE).

The rule of its training: a text token has the same number in all three axes; token (g, i, j) of a visual that starts at
s (group g, row i, column j of merged tokens) has (s + g, s + i, s + j); whatever follows a visual starts one after the
largest number used so far. Time advances by one per group, whatever the frame rate, and nothing is written between
groups. Knows shapes only: no tokens' ids, no pictures.

transformers 5 places the text after a visual at s + max(rows, columns) instead, ignoring the number of groups, so the
two agree only while groups <= max(rows, columns). We keep the rule the model was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from edge.models.family import Positions, VisualKind


class Qwen2VLLayout:
    def __init__(self) -> None:
        self.placeholders: Mapping[str, VisualKind] = {"<|image_pad|>": "image", "<|video_pad|>": "video"}
        regions = product(("object_ref", "box", "quad"), ("start", "end"))
        self.region_markers = tuple(f"<|{name}_{end}|>" for name, end in regions)

    def text_positions(self, start: int, num_tokens: int) -> Positions:
        line = np.arange(start, start + num_tokens, dtype=np.int64)
        return np.broadcast_to(line, (3, num_tokens)).copy()

    def group_positions(self, start: int, index: int, rows: int, columns: int) -> Positions:
        row, column = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
        return start + np.stack([np.full(rows * columns, index, dtype=np.int64), row, column])

    def next_position(self, start: int, num_groups: int, rows: int, columns: int) -> int:
        """The same number while num_groups <= max(rows, columns)."""
        return start + max(num_groups, rows, columns)

    def text_before_group(self, seconds: float) -> str:
        return ""


LAYOUT = Qwen2VLLayout()
