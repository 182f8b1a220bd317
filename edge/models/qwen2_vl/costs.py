"""What each step of a Qwen2-VL costs, from its shape alone."""

from __future__ import annotations

from edge.models.costs import Cost, Weights
from edge.models.qwen2_vl.config import Config, VisionConfig

FLOAT = 4  # bytes of a float32


class Qwen2VLCosts:
    """Of one model in one variant."""

    def __init__(self, config: Config, weights: Weights | None = None, itemsize: int = 2) -> None:
        """Without weights only the operations mean something."""
        weights = weights or Weights(0, 0, 0, 0)
        self.config, self.weights, self.itemsize = config, weights, itemsize
        language = config.language
        self.hidden_size, self.cell = language.hidden_size, config.cell
        self.kv_bytes_per_token = (
            2 * language.num_hidden_layers * language.num_key_value_heads * language.head_dim * itemsize
        )
        attention = 2 * language.hidden_size * (language.hidden_size + language.num_key_value_heads * language.head_dim)
        mlp = 3 * language.hidden_size * language.intermediate_size
        self.body_weights = language.num_hidden_layers * (attention + mlp)

    def vision(self, height: int, width: int) -> Cost:
        """One group of two frames, pixels to embeddings."""
        vision = self.config.vision
        patches = (height // vision.patch_size) * (width // vision.patch_size)
        linear = 2 * patches * (vision.patch_dim * vision.embed_dim + vision.depth * _block_weights(vision))
        attention = vision.depth * 4 * patches**2 * vision.embed_dim
        merger = 2 * (patches / vision.spatial_merge_size**2) * _merger_weights(vision)
        return Cost(linear + attention + merger, self.weights.vision)

    def extend(self, tokens: int, context: int, rows: int = 0) -> Cost:
        """`tokens` appended to `context` earlier ones, and a prediction after `rows` of them."""
        language = self.config.language
        seen = tokens * (context + (tokens + 1) / 2)
        attention = 4 * language.num_hidden_layers * language.hidden_size * seen
        kv = (context + tokens) * self.kv_bytes_per_token
        body = Cost(2 * self.body_weights * tokens + attention, self.weights.body + kv)
        return body + self.head(rows) if rows else body

    def head(self, rows: int) -> Cost:
        language = self.config.language
        return Cost(2 * language.vocab_size * language.hidden_size * rows, self.weights.head)

    def decode(self, context: int) -> Cost:
        """One more token."""
        return self.extend(1, context, rows=1)

    def tokens(self, height: int, width: int) -> int:
        """Of one group."""
        return (height // self.cell) * (width // self.cell)

    def activation_bytes(self, height: int, width: int) -> int:
        """The larger of the vision tower's and the language model's, each at its widest layer, and a row of logits."""
        vision, language, itemsize = self.config.vision, self.config.language, self.itemsize
        patches = (height // vision.patch_size) * (width // vision.patch_size)
        pixels = 2 * patches * vision.patch_dim * FLOAT  # normalized, and in order
        tower = pixels + patches * itemsize * round((2 + 3 * vision.mlp_ratio) * vision.embed_dim)
        prefill = self.tokens(height, width) * itemsize * (3 * language.intermediate_size + 2 * language.hidden_size)
        logits = language.vocab_size * (itemsize + FLOAT)
        return max(tower, prefill) + logits


def _block_weights(vision: VisionConfig) -> int:
    return int((4 + 2 * vision.mlp_ratio) * vision.embed_dim**2)


def _merger_weights(vision: VisionConfig) -> int:
    width = vision.embed_dim * vision.spatial_merge_size**2
    return width * (width + vision.hidden_size)
