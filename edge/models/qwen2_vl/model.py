"""Qwen2-VL whole: the vision tower, the language model and the head."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from edge.attention import attention_over
from edge.cache import KVCache
from edge.models.architecture import Network
from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.language import FUSED, LanguageModel
from edge.models.qwen2_vl.patches import normalize, patchify
from edge.models.qwen2_vl.vision import VisionTower


class Qwen2VL(Network):
    visual: VisionTower
    model: LanguageModel
    fused = FUSED

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTower(config.vision)
        self.model = LanguageModel(config.language)
        self.lm_head = (  # None: the embedding's matrix, as it is
            None
            if config.tie_word_embeddings
            else nn.Linear(config.language.hidden_size, config.language.vocab_size, bias=False)
        )

    def encode(self, frames: Tensor) -> Tensor:
        """Bytes (groups, 2, height, width, 3), sides multiples of 28, to embeddings (groups, tokens, hidden)."""
        height, width = frames.shape[2:4]
        patch = self.config.vision.patch_size
        patches = patchify(normalize(frames.permute(0, 1, 4, 2, 3)), self.config.vision)
        embeddings: Tensor = self.visual(patches, height // patch, width // patch)
        return embeddings

    def embed(self, tokens: Tensor) -> Tensor:
        embeddings: Tensor = self.model.embed_tokens(tokens)
        return embeddings

    def extend(self, sequences: Sequence[tuple[KVCache, int]], x: Tensor, positions: Tensor) -> Tensor:
        """Append embeddings (n, hidden) at positions (3, n) to the caches, so many rows to each in turn; returns hidden
        states (n, hidden)."""
        attend = attention_over(sequences, self.config.language.num_attention_heads)
        hidden: Tensor = self.model(x[None], positions, attend)[0]
        for cache, num_rows in sequences:
            cache.advance(num_rows)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocab). Ask for the rows you need: each costs the whole head."""
        if self.lm_head is None:
            return F.linear(hidden, self.model.embed_tokens.weight)
        logits: Tensor = self.lm_head(hidden)
        return logits
