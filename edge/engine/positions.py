"""M-RoPE position ids: where each token stands in time, row and column.

The rule of Qwen2-VL's training: a text token has the same number in all three axes; token (g, i, j) of a
visual that starts at s (group g, row i, column j of merged tokens) has (s + g, s + i, s + j); whatever
follows a visual starts one after the largest number used so far. Time advances by one per group, whatever
the frame rate. Knows shapes only: no tokens, no pictures.

transformers 5 places the text after a visual at s + max(rows, columns) instead, ignoring the number of
groups, so the two agree only while groups <= max(rows, columns). We keep the rule the model was trained with.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edge.runners import Positions


def text(start: int, num_tokens: int) -> Positions:
    line = np.arange(start, start + num_tokens, dtype=np.int64)
    return np.broadcast_to(line, (3, num_tokens)).copy()


def group(start: int, index: int, rows: int, columns: int) -> Positions:
    """Positions of the group `index` of a visual that starts at `start`; its tokens go row by row."""
    row, column = np.divmod(np.arange(rows * columns, dtype=np.int64), columns)
    return start + np.stack([np.full(rows * columns, index, dtype=np.int64), row, column])


def after(start: int, num_groups: int, rows: int, columns: int) -> int:
    """Where the text behind a visual starts: the same number while num_groups <= max(rows, columns)."""
    return start + max(num_groups, rows, columns)


def prompt(parts: Iterable[int | tuple[int, int, int]]) -> Positions:
    """A whole prompt at once: a number is that many text tokens, a triple is (groups, rows, columns)."""
    start = 0
    pieces = [np.empty((3, 0), dtype=np.int64)]
    for part in parts:
        if isinstance(part, int):
            pieces.append(text(start, part))
            start += part
        else:
            num_groups, rows, columns = part
            pieces += [group(start, index, rows, columns) for index in range(num_groups)]
            start = after(start, num_groups, rows, columns)
    return np.concatenate(pieces, axis=1)
