"""Presets give each layer what they say, and a user's rules come first."""

from __future__ import annotations

import pytest

from quantize.errors import BadPlan, BadVariant, DoesNotDivide
from quantize.layer_names import official_name
from quantize.plan import PRESETS, make_plan
from quantize.structure import find_blocks
from quantize.variant import Variant

# Names and shapes of Qwen2-VL-2B, one layer of each kind.
LANGUAGE = {
    "model.layers.0.self_attn.q_proj": (1536, 1536),
    "model.layers.27.self_attn.o_proj": (1536, 1536),
    "model.layers.3.mlp.gate_proj": (8960, 1536),
    "model.layers.3.mlp.down_proj": (1536, 8960),
}
VISION = {
    "visual.blocks.0.attn.qkv": (3840, 1280),
    "visual.blocks.31.mlp.fc2": (1280, 5120),
    "visual.merger.mlp.0": (5120, 5120),
    "visual.merger.mlp.2": (1536, 5120),
}
OTHERS = {
    "model.layers.0.input_layernorm": (1536,),
    "model.norm": (1536,),
    "visual.patch_embed.proj": (1280, 3, 2, 14, 14),
    "visual.blocks.0.norm1": (1280,),
    "visual.merger.ln_q": (1280,),
}
EMBEDDING = {"model.embed_tokens": (151936, 1536)}
INT4, INT8 = Variant(4, 128), Variant(8, None)


@pytest.mark.parametrize(
    ("preset", "language", "vision", "embedding"),
    [("official", INT4, None, None), ("edge", INT4, INT8, INT8), ("int8", INT8, INT8, INT8)],
)
def test_a_preset_gives_each_kind_of_layer_its_own(
    preset: str, language: Variant | None, vision: Variant | None, embedding: Variant | None
) -> None:
    plan = make_plan(preset, tied=True)
    for layers, expected in ((LANGUAGE, language), (VISION, vision), (EMBEDDING, embedding), (OTHERS, None)):
        assert {plan(name, shape) for name, shape in layers.items()} == {expected}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_an_untied_head_is_the_head_and_the_embedding_stays(preset: str) -> None:
    plan = make_plan(preset, tied=False)
    assert plan("model.embed_tokens", (151936, 1536)) is None
    assert plan("lm_head", (151936, 1536)) == (None if preset == "official" else INT8)


def test_a_users_rule_comes_before_the_preset() -> None:
    plan = make_plan("edge", Variant(4, 32), tied=True, overrides=[r"visual.*=keep", r".*down_proj=int8-g128"])
    assert plan("visual.merger.mlp.0", (5120, 5120)) is None
    assert plan("model.layers.3.mlp.down_proj", (1536, 8960)) == Variant(8, 128)
    assert plan("model.layers.3.mlp.gate_proj", (8960, 1536)) == Variant(4, 32)


@pytest.mark.parametrize("rule", ["visual", "=keep", "(=keep", "[a=int4-g128"])
def test_a_broken_rule_is_named(rule: str) -> None:
    with pytest.raises(BadPlan, match="is no r"):
        make_plan("edge", tied=True, overrides=[rule])


def test_a_rule_with_a_broken_variant_is_named() -> None:
    with pytest.raises(BadVariant, match="int5"):
        make_plan("edge", tied=True, overrides=["lm_head=int5"])


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(BadPlan, match="official, edge, int8"):
        make_plan("tiny", tied=True)


def test_a_layer_that_groups_do_not_divide_is_named() -> None:
    with pytest.raises(DoesNotDivide, match=r"model\.layers\.0\.mlp\.up_proj is 1000 wide"):
        make_plan("official", tied=True)("model.layers.0.mlp.up_proj", (2000, 1000))


def test_blocks_come_in_the_order_data_passes_them() -> None:
    names = [f"{name}.weight" for layers in (LANGUAGE, VISION, OTHERS) for name in layers]
    names += [f"model.layers.{index}.mlp.up_proj.weight" for index in (1, 2)]
    found = [block.name for block in find_blocks(names)]
    assert found == [
        "visual.blocks.0", "visual.blocks.31", "visual.merger",
        "model.layers.0", "model.layers.1", "model.layers.2", "model.layers.3", "model.layers.27",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("model.visual.blocks.0.norm1.weight", "visual.blocks.0.norm1.weight"),
        ("model.language_model.embed_tokens.weight", "model.embed_tokens.weight"),
        ("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("lm_head.weight", "lm_head.weight"),
    ],
)
def test_both_spellings_have_one_official_name(name: str, official: str) -> None:
    assert official_name(name) == official
