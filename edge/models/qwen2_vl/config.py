"""The shape of a Qwen2-VL, read from a Hugging Face config.json.

Reads both layouts: the flat one of the official checkpoints and the nested one (`text_config`) of
transformers 5. Fields keep the names that config.json gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from edge.errors import ModelUnreadable
from edge.models.family import Family
from edge.models.qwen2_vl import QWEN2_VL


@dataclass(frozen=True, slots=True)
class VisionConfig:
    depth: int
    embed_dim: int
    num_heads: int
    mlp_ratio: float
    hidden_size: int  # width of a merged token, equal to the language model's
    in_channels: int = 3
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Numbers in one flattened patch: channels x frames x height x width."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rms_norm_eps: float
    rope_theta: float
    mrope_section: tuple[int, int, int]  # pairs of a head that turn with time, row and column
    max_position_embeddings: int

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True, slots=True)
class Config:
    vision: VisionConfig
    language: LanguageConfig
    tie_word_embeddings: bool
    image_token_id: int
    video_token_id: int
    dtype: str  # how the weights want to be computed with: "bfloat16", "float32" ...
    quantization: Mapping[str, Any] | None = field(default=None, hash=False)  # as config.json has it

    @property
    def family(self) -> Family:
        return QWEN2_VL

    @property
    def cell(self) -> int:
        return self.vision.patch_size * self.vision.spatial_merge_size

    @property
    def vocab_size(self) -> int:
        return self.language.vocab_size

    @property
    def max_positions(self) -> int:
        return self.language.max_position_embeddings

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        language = self.language
        return language.num_hidden_layers, language.num_key_value_heads, language.head_dim


def parse_config(content: dict[str, Any], origin: str = "config") -> Config:
    """A Config from the content of a config.json of this family. Raises ModelUnreadable."""
    text = {**content, **(content.get("text_config") or {})}
    try:
        config = Config(
            vision=_vision(content["vision_config"], text["hidden_size"]),
            language=_language(text),
            tie_word_embeddings=bool(content.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            image_token_id=content.get("image_token_id", 151655),
            video_token_id=content.get("video_token_id", 151656),
            dtype=str(content.get("dtype") or content.get("torch_dtype") or text.get("dtype") or "float32"),
            quantization=_quantization(text),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelUnreadable(f"{origin} lacks or garbles the field {error}.") from None
    if problem := _problem(config):
        raise ModelUnreadable(f"{origin}: {problem}.")
    return config


def _problem(config: Config) -> str | None:
    """The first thing that no Qwen2-VL can be made of, or None."""
    vision, language = config.vision, config.language
    for part in (vision, language):
        for each in fields(part):
            value = getattr(part, each.name)
            if each.name != "mrope_section" and not _is_positive(value, whole=each.type == "int"):
                return f"{each.name} is {value!r}, which is no positive {'whole ' if each.type == 'int' else ''}number"
    if language.hidden_size % language.num_attention_heads:
        return f"hidden_size {language.hidden_size} does not divide into num_attention_heads"
    if vision.hidden_size != language.hidden_size:
        return f"the vision tower makes tokens of {vision.hidden_size}, the language model reads {language.hidden_size}"
    if language.num_attention_heads % language.num_key_value_heads:
        return f"num_attention_heads is no multiple of num_key_value_heads {language.num_key_value_heads}"
    if 2 * sum(language.mrope_section) != language.head_dim:
        return f"mrope_section {language.mrope_section} does not add up to half a head of {language.head_dim}"
    if vision.embed_dim % (4 * vision.num_heads):
        return f"embed_dim {vision.embed_dim} is no multiple of 4 x num_heads {vision.num_heads}"
    return None


def _is_positive(value: object, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value > 0


def _quantization(content: dict[str, Any]) -> dict[str, Any] | None:
    found = content.get("quantization_config") or None
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"quantization_config, which is {found!r} and no object")
    return found


def _vision(content: dict[str, Any], hidden_size: int) -> VisionConfig:
    return VisionConfig(
        depth=content.get("depth", 32),
        embed_dim=content.get("embed_dim", 1280),
        num_heads=content.get("num_heads", 16),
        mlp_ratio=content.get("mlp_ratio", 4),
        hidden_size=content.get("hidden_size", hidden_size),
        in_channels=content.get("in_channels", content.get("in_chans", 3)),
        patch_size=content.get("patch_size", 14),
        spatial_merge_size=content.get("spatial_merge_size", 2),
        temporal_patch_size=content.get("temporal_patch_size", 2),
    )


def _language(content: dict[str, Any]) -> LanguageConfig:
    rope = content.get("rope_parameters") or content.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "mrope"):
        raise ValueError(f"rope_scaling: {kind!r} positions, where this engine knows Qwen2-VL's own ('mrope')")
    section = rope.get("mrope_section", (16, 24, 24))
    if len(section) != 3:
        raise ValueError(f"mrope_section {section}, which should be three numbers")
    time, row, column = section
    return LanguageConfig(
        vocab_size=content["vocab_size"],
        hidden_size=content["hidden_size"],
        intermediate_size=content["intermediate_size"],
        num_hidden_layers=content["num_hidden_layers"],
        num_attention_heads=content["num_attention_heads"],
        num_key_value_heads=content.get("num_key_value_heads") or content["num_attention_heads"],
        rms_norm_eps=content.get("rms_norm_eps", 1e-6),
        rope_theta=rope.get("rope_theta", content.get("rope_theta", 1_000_000.0)),
        mrope_section=(time, row, column),
        max_position_embeddings=content.get("max_position_embeddings", 32768),
    )
