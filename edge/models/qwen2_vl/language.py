"""The language model: Qwen2 with M-RoPE.

How a row sees earlier rows is the caller's: `attend(layer, q, k, v)` is a cache when answering and a
masked batch when training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.attention import Attend
from edge.models.quantized import add_projected
from edge.models.qwen2_vl.config import LanguageConfig
from edge.models.qwen2_vl.rope import language_angles
from edge.operations import rms_norm, rotate, swiglu

FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
"""Projections of one input that loading makes into one, so that a step has fewer and larger products. Checkpoints,
calibration and training know the parts only."""


class LanguageModel(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Embeddings (batch, n, hidden) at positions (3, n) or (3, batch, n) to hidden states of the same shape."""
        config = self.config
        cos, sin = language_angles(positions, config.head_dim, config.rope_theta, config.mrope_section)
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        if positions.ndim == 3:
            cos, sin = cos[:, None], sin[:, None]  # the same for every head
        for layer in self.layers:
            x = layer(x, cos, sin, attend)
        out: Tensor = self.norm(x)
        return out


class Layer(nn.Module):
    def __init__(self, config: LanguageConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), cos, sin, attend)
        x = add_projected(x, self.self_attn.o_proj, attended)
        opened = self.mlp(self.post_attention_layernorm(x))
        return add_projected(x, self.mlp.down_proj, opened)


class Attention(nn.Module):
    """Grouped-query attention, up to its last projection; q, k and v have biases, that has none."""

    def __init__(self, config: LanguageConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_dim = config.head_dim
        self.num_heads, self.num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        kv_width = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, kv_width)
        self.v_proj = nn.Linear(config.hidden_size, kv_width)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.qkv_proj: nn.Module | None = None  # in the place of the three, once they are fused

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        heads = self._project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (batch, heads, n, head_dim)
        turned, v = heads.split((self.num_heads + self.num_kv_heads, self.num_kv_heads), dim=1)
        q, k = rotate(turned, cos, sin).split((self.num_heads, self.num_kv_heads), dim=1)
        return attend(self.index, q, k, v).transpose(1, 2).flatten(2)

    def _project(self, x: Tensor) -> Tensor:
        if self.qkv_proj is None:
            return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x)], dim=-1)
        projected: Tensor = self.qkv_proj(x)
        return projected


class Mlp(nn.Module):
    """Up to its last projection."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.gate_up_proj: nn.Module | None = None  # in the place of the two, once they are fused

    def forward(self, x: Tensor) -> Tensor:
        return swiglu(self._project(x))

    def _project(self, x: Tensor) -> Tensor:
        if self.gate_up_proj is None:
            return torch.cat([self.gate_proj(x), self.up_proj(x)], dim=-1)
        projected: Tensor = self.gate_up_proj(x)
        return projected


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)
