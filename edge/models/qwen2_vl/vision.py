"""The vision tower: groups of two frames to the tokens the language model reads.

A group never sees another one, so groups of equal size are simply a batch. As in the language model,
how patches attend to each other is the caller's to choose.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from edge.attention import full_attention
from edge.models.qwen2_vl.config import VisionConfig
from edge.models.qwen2_vl.rope import vision_angles
from edge.operations import rotate

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q, k and v, (groups, heads, n, dim), to the same shape."""

EPS = 1e-6


class VisionTower(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.merger = Merger(config)

    def forward(self, patches: Tensor, rows: int, columns: int, attend: Attend = full_attention) -> Tensor:
        """(groups, rows * columns, patch_dim) patches to (groups, rows * columns / merge², hidden_size)."""
        x = self.patch_embed(patches)
        merge, head_dim = self.config.spatial_merge_size, self.config.head_dim
        cos, sin = vision_angles(rows, columns, merge, head_dim, x.device)
        for block in self.blocks:
            x = block(x, cos, sin, attend)
        merged: Tensor = self.merger(x)
        return merged


class PatchEmbed(nn.Module):
    """A convolution whose kernel is as large as its stride: one matrix product per patch."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        size = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.embed_dim, size, stride=size, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight.flatten(1)
        return F.linear(patches.to(weight.dtype), weight)


class Block(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.norm2 = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.attn = Attention(config)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, attend)
        x = x + self.mlp(self.norm2(x))
        return x


class Attention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        groups, n, _ = x.shape
        q, k, v = self.qkv(x).view(groups, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)  # (groups, heads, n, dim)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        out = attend(q, k, v)
        projected: Tensor = self.proj(out.transpose(1, 2).reshape(groups, n, -1))
        return projected


class Mlp(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        inner = int(config.embed_dim * config.mlp_ratio)
        self.fc1 = nn.Linear(config.embed_dim, inner)
        self.fc2 = nn.Linear(inner, config.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        out: Tensor = self.fc2(x * (1.702 * x).sigmoid())  # quick GELU
        return out


class Merger(nn.Module):
    """Four neighbouring patches become one token."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.width = config.embed_dim * config.spatial_merge_size**2
        self.ln_q = nn.LayerNorm(config.embed_dim, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(self.width, self.width), nn.GELU(), nn.Linear(self.width, config.hidden_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.mlp(self.ln_q(x).view(x.shape[0], -1, self.width))
        return merged
