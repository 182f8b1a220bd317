"""A second reader of the vision tower's tokens while pocket is trained, and what it costs to read them wrongly.

Dropped at the end. Knows tensors only; no model, no schedule.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.pocket.batches import MOTIONS
from stream.sources.scene import COLOURS, SHAPES, SIZES

SCALE = 101  # a coordinate's classes: hundredths of the picture


class DenseHead(nn.Module):
    """Reads from every token of the picture what stands there. Training only.

    The tower knows no absolute places (its rotary positions are relative), so it is asked for corners
    relative to the token's own cell; the language model, whose tokens can measure their distance to
    the prompt, is asked for them in the picture.
    """

    WIDTHS = (1 + len(COLOURS), len(SHAPES), len(SIZES), len(MOTIONS), 4 * SCALE)
    REACH = 5.0  # cells from the smallest to the largest offset told apart

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, sum(self.WIDTHS))
        self.place = nn.Linear(width, 4 * SCALE)

    def loss(self, embeddings: Tensor, cells: Tensor, offsets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Tower's embeddings (..., hidden), cells (..., 4), corners relative to the cell (..., 4)."""
        colour, shape, size, motion, corners = self.read(embeddings.flatten(0, -2)).float().split(self.WIDTHS, -1)
        cells, offsets = cells.flatten(0, -2), offsets.flatten(0, -2)
        there = cells[:, 0] >= 0
        losses = {
            "colour": F.cross_entropy(colour, cells[:, 0] + 1),
            "shape": F.cross_entropy(shape[there], cells[there, 1]),
            "size": F.cross_entropy(size[there], cells[there, 2]),
            "motion": F.cross_entropy(motion[there], cells[there, 3]),
            "corners": _soft_places(corners[there].unflatten(-1, (4, SCALE)), offsets[there] / self.REACH + 0.5),
        }
        total = 2 * losses["colour"] + losses["shape"] + losses["size"] + losses["motion"] + losses["corners"]
        return total, {f"sees {name}": value.item() for name, value in losses.items()}

    def place_loss(self, hidden: Tensor, cells: Tensor, boxes: Tensor) -> Tensor:
        """Language model's states of the picture's tokens (n, hidden), cells (..., 4), corners 0..1 (..., 4)."""
        there = cells.flatten(0, -2)[:, 0] >= 0
        return _soft_places(self.place(hidden[there]).float().unflatten(-1, (4, SCALE)), boxes.flatten(0, -2)[there])


def _soft_places(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of (n, 4, SCALE) against a narrow bell around each coordinate (n, 4) of 0..1."""
    places = torch.arange(SCALE, device=truth.device)
    bell = (-0.5 * ((places - truth[..., None] * (SCALE - 1)) / 1.0) ** 2).softmax(-1)
    return -(bell * logits.log_softmax(-1)).sum(-1).mean()
