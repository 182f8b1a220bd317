"""The names of a Qwen2-VL's layers, in every spelling that files use.

Official checkpoints write `visual.*`, `model.*` and `lm_head`; so do our modules and variants. transformers 5
writes `model.visual.*` and `model.language_model.*`, and vLLM's classes say `language_model.model.*`.
"""

from __future__ import annotations

import re

EMBEDDING, HEAD, TOWER = "model.embed_tokens", "lm_head", "visual"

# The first pattern that matches decides.
_TO_OFFICIAL = (
    (re.compile(r"^(model\.)?visual\."), "visual."),
    (re.compile(r"^(model\.)?language_model\.lm_head\b"), "lm_head"),
    (re.compile(r"^(model\.)?language_model\.(model\.)?"), "model."),
)


def official_name(name: str) -> str:
    """The official spelling of a layer's or a tensor's name, from any other.

    >>> official_name("model.language_model.layers.0.mlp.up_proj.weight")
    'model.layers.0.mlp.up_proj.weight'
    """
    for pattern, official in _TO_OFFICIAL:
        if pattern.match(name):
            return pattern.sub(official, name)
    return name


def spellings(name: str) -> list[str]:
    """The official name and that of transformers 5.

    >>> spellings("visual.merger.mlp.0"), spellings("lm_head")
    (['visual.merger.mlp.0', 'model.visual.merger.mlp.0'], ['lm_head'])
    """
    name = official_name(name)
    if is_vision(name):
        return [name, f"model.{name}"]
    if name.startswith("model."):
        return [name, f"model.language_model.{name.removeprefix('model.')}"]
    return [name]


def is_vision(name: str) -> bool:
    """Whether an official name is of the vision tower, or the tower's own."""
    return name.partition(".")[0] == TOWER
