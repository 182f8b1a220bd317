"""What a model folder may get wrong, and what the reader says to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edge.errors import ModelUnreadable, WrongArchitecture
from edge.models.architecture import parse_config, read_config
from edge.models.qwen2_vl.model import Qwen2VL
from edge.models.weights import load_model
from quantize.layer_names import official_name

SMALL: dict[str, Any] = {
    "model_type": "qwen2_vl", "vocab_size": 32, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "vision_config": {"depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 32},
}  # fmt: skip
TWO_B: dict[str, Any] = {
    "model_type": "qwen2_vl", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
    "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True,
    "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "torch_dtype": "bfloat16",
    "vision_config": {"depth": 32, "embed_dim": 1280, "num_heads": 16, "mlp_ratio": 4, "hidden_size": 1536,
                      "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny sound model folder."""
    torch.manual_seed(0)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    save_weights(tmp_path, dict(Qwen2VL(parse_config(SMALL)).named_parameters()))
    return tmp_path


def save_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / "model.safetensors")


def load(folder: Path) -> Qwen2VL:
    return load_model(folder, read_config(folder), torch.float32, torch.device("cpu"))


def test_the_published_2b_and_7b_shapes_have_the_published_number_of_parameters() -> None:
    seven = dict(TWO_B, vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_attention_heads=28,
                 num_key_value_heads=4, tie_word_embeddings=False,
                 vision_config=dict(TWO_B["vision_config"], hidden_size=3584))  # fmt: skip
    with torch.device("meta"):
        counts = [sum(p.numel() for p in Qwen2VL(parse_config(fields)).parameters()) for fields in (TWO_B, seven)]
    assert counts == [2_208_985_600, 8_291_375_616]


def test_both_layouts_of_config_json_mean_the_same() -> None:
    nested = {"model_type": "qwen2_vl", "vision_config": SMALL["vision_config"], "text_config": SMALL,
              "tie_word_embeddings": True}  # fmt: skip
    assert parse_config(nested) == parse_config(SMALL)


@pytest.mark.parametrize("nested", [False, True])
def test_the_quantization_is_kept_as_it_is(nested: bool) -> None:
    quantization = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    fields = {**SMALL, "text_config": quantization} if nested else {**SMALL, **quantization}
    assert parse_config(fields).quantization == {"quant_method": "gptq", "bits": 4}
    assert parse_config(SMALL).quantization is None


def test_a_sound_folder_loads(folder: Path) -> None:
    assert load(folder).lm_head is None


def test_spellings_go_there_and_back() -> None:
    for name in ("visual.blocks.0.attn.qkv.weight", "model.layers.3.mlp.up_proj.weight", "lm_head.weight"):
        assert official_name(name) == name
    assert official_name("model.visual.merger.ln_q.bias") == "visual.merger.ln_q.bias"
    assert (
        official_name("model.language_model.norm.weight") == official_name("model.norm.weight") == "model.norm.weight"
    )


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"model_type": "qwen2_5_vl"}, WrongArchitecture, "qwen2_5_vl"),
        ({"model_type": None}, WrongArchitecture, "None"),
        ({"quantization_config": ["gptq"]}, ModelUnreadable, "quantization_config"),
        ({"vision_config": None}, ModelUnreadable, "field"),
        ({"vocab_size": "many"}, ModelUnreadable, "vocab_size"),
        ({"hidden_size": -3}, ModelUnreadable, "hidden_size"),
        ({"num_attention_heads": 3}, ModelUnreadable, "num_attention_heads"),
        ({"num_key_value_heads": 3}, ModelUnreadable, "num_key_value_heads"),
        ({"rope_scaling": {"mrope_section": [1, 2]}}, ModelUnreadable, "mrope_section"),
        ({"rope_scaling": {"mrope_section": [1, 2, 2]}}, ModelUnreadable, "mrope_section"),
    ],
)
def test_a_wrong_config_is_named(change: dict[str, Any], error: type[Exception], says: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**SMALL, **change}))
    with pytest.raises(error, match=says):
        read_config(folder)


def test_a_missing_field_is_named(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({k: v for k, v in SMALL.items() if k != "hidden_size"}))
    with pytest.raises(ModelUnreadable, match="hidden_size"):
        read_config(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00"])
def test_a_garbled_config_is_named(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelUnreadable, match=r"config\.json"):
        read_config(folder)


def test_an_empty_folder_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"no config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99])
def test_a_cut_off_weights_file_is_named(keep: float, folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(ModelUnreadable, match=r"model\.safetensors"):
        load(folder)


def test_missing_surplus_and_misshapen_tensors_are_named(folder: Path) -> None:
    tensors = dict(Qwen2VL(parse_config(SMALL)).named_parameters())
    save_weights(folder, {k: v for k, v in tensors.items() if k != "model.norm.weight"})
    with pytest.raises(ModelUnreadable, match=r"model\.norm\.weight"):
        load(folder)
    save_weights(folder, {**tensors, "model.extra": torch.zeros(2)})
    with pytest.raises(ModelUnreadable, match="extra"):
        load(folder)
    save_weights(folder, {**tensors, "model.norm.weight": torch.zeros(2)})
    with pytest.raises(ModelUnreadable, match=r"model\.norm\.weight.*\(2,\)"):
        load(folder)


def test_no_weights_and_a_missing_shard_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnreadable, match=r"lacks model\.safetensors"):
        load(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    with pytest.raises(ModelUnreadable, match="00001-of-00002"):
        load(folder)
    index.write_text("{")
    with pytest.raises(ModelUnreadable, match="index"):
        load(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(ModelUnreadable, match="outside"):
        load(folder)


def test_numbers_of_the_type_auto_are_computed_with_as_they_are_stored(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "torch_dtype": "auto"}))
    assert read_config(folder).dtype == "float32"
    weights = {name: weight.bfloat16() for name, weight in load(folder).state_dict().items()}
    save_weights(folder, weights)
    assert read_config(folder).dtype == "bfloat16"
