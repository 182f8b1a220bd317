"""Published shapes of Qwen2-VL, as their config.json gives them, so that a device can be tried before a model is
fetched. Numbers only; tokens are pocket's, whose tokenizer comes with the package.
"""

from __future__ import annotations

import json
from typing import Any

from edge.hub import POCKET

# huggingface.co/Qwen/Qwen2-VL-2B-Instruct and -7B-Instruct, config.json
_LANGUAGE: dict[str, dict[str, Any]] = {
    "2b": {
        "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "max_window_layers": 28, "tie_word_embeddings": True,
    },
    "7b": {
        "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "max_window_layers": 28, "tie_word_embeddings": False,
    },
}  # fmt: skip
_BOTH: dict[str, Any] = {
    "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_act": "silu",
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, "use_sliding_window": False,
    "attention_dropout": 0.0, "initializer_range": 0.02, "torch_dtype": "bfloat16",
}  # fmt: skip
_VISION: dict[str, Any] = {
    "model_type": "qwen2_vl", "depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4,
    "hidden_act": "quick_gelu", "in_chans": 3, "patch_size": 14, "spatial_patch_size": 14, "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}  # fmt: skip
PROCESSOR: dict[str, Any] = {
    "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2VLProcessor",
}  # fmt: skip
SHAPES = (*_LANGUAGE, "pocket")


def published_config(shape: str) -> dict[str, Any]:
    """The content of a config.json of a shape in `SHAPES`."""
    pocket: dict[str, Any] = json.loads((POCKET / "config.json").read_text())
    if shape == "pocket":
        return pocket
    tokens = {name: value for name, value in pocket.items() if name.endswith("token_id")}
    vision = {**_VISION, "hidden_size": _LANGUAGE[shape]["hidden_size"]}
    return {**_BOTH, **_LANGUAGE[shape], **tokens, "vision_config": vision}
