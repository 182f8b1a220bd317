"""What vision and prefill come to on paper: floating-point operations, two per multiply-add.

Counts what grows with the input: matrix products and attention. Norms, rotations and activations are left out.
"""

from __future__ import annotations

from edge.model.config import LanguageConfig, VisionConfig


def see(config: VisionConfig, rows: int, columns: int) -> float:
    """One group of rows x columns tokens through the vision tower."""
    merged, width = config.spatial_merge_size**2, config.embed_dim
    tokens = rows * columns
    patches = tokens * merged
    block = patches * (4 * width**2 + 2 * width * int(width * config.mlp_ratio)) + 2 * patches**2 * width
    wide = width * merged
    merger = tokens * (wide**2 + wide * config.hidden_size)
    return 2.0 * (patches * config.patch_dim * width + config.depth * block + merger)


def read(config: LanguageConfig, tokens: int, before: int, predicted: int) -> float:
    """`tokens` more tokens behind `before` others, with a prediction after `predicted` of them."""
    hidden, kv = config.hidden_size, config.num_key_value_heads * config.head_dim
    layer = 2 * hidden**2 + 2 * hidden * kv + 3 * hidden * config.intermediate_size
    pairs = tokens * before + tokens * (tokens + 1) / 2  # of a token and one that it sees
    body = config.num_hidden_layers * (tokens * layer + 2 * pairs * hidden)
    return 2.0 * (body + predicted * hidden * config.vocab_size)
