"""Rotary positions: two axes in the vision tower, three (M-RoPE) in the language model.

Angles are always computed in float32: in bfloat16 neighbouring positions would fall together.
"""

from __future__ import annotations

import torch
from torch import Tensor


def language_angles(
    positions: Tensor, head_dim: int, theta: float, section: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (n, head_dim), for positions (3, n) of time, row, column.

    A head's frequencies are dealt out in three runs: the fastest turn with time, the next with the
    row, the slowest with the column (Qwen2-VL, arXiv 2409.12191, section 2.1).
    """
    angles = positions[..., None].float() * _frequencies(head_dim, theta, positions.device)  # (3, n, head_dim/2)
    runs = angles.split(section, dim=-1)
    return _cos_sin(torch.cat([run[axis] for axis, run in enumerate(runs)], dim=-1))


def vision_angles(rows: int, columns: int, merge: int, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (rows * columns, head_dim), for the patches of one picture.

    Patches come in the order in which they are merged: merge x merge neighbours lie together.
    """
    row, column = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
    places = torch.stack([_merge_order(row, merge), _merge_order(column, merge)])  # (2, n)
    angles = places[..., None].float() * _frequencies(head_dim // 2, 10_000.0, device)
    return _cos_sin(torch.cat([angles[0], angles[1]], dim=-1))


def _frequencies(dim: int, theta: float, device: torch.device) -> Tensor:
    return 1.0 / theta ** (torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)


def _merge_order(grid: Tensor, merge: int) -> Tensor:
    rows, columns = grid.shape
    blocks = grid.reshape(rows // merge, merge, columns // merge, merge)
    return blocks.permute(0, 2, 1, 3).flatten()


def _cos_sin(angles: Tensor) -> tuple[Tensor, Tensor]:
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()
