"""The headers of a variant's files against what its manifest and its model's config promise."""

from __future__ import annotations

import pytest
import torch

from quantize.checkpoint import Stored
from quantize.errors import DoesNotDivide
from quantize.formats import layout, writer
from quantize.shape_check import shape_problems
from quantize.variant import Variant

INT4 = Variant(4, 32)
SHAPES = {
    "model.embed_tokens.weight": (100, 64),
    "visual.a.weight": (16, 64),
    "visual.a.bias": (16,),
    "norm.weight": (64,),
}
LAYERS = {"visual.a": INT4}
FORM = writer("gptq", LAYERS)
PACKED = {f"visual.a.{suffix}": tensor for suffix, tensor in layout(FORM, INT4, (16, 64)).items()}
WHOLE = {
    "model.embed_tokens.weight": Stored(torch.bfloat16, (100, 64)), "norm.weight": Stored(torch.float32, (64,)),
    "visual.a.bias": Stored(torch.bfloat16, (16,)), **PACKED,
}  # fmt: skip


def problems(changes: dict[str, Stored | None], layers: dict[str, Variant] = LAYERS) -> list[str]:
    stored = {name: tensor for name, tensor in {**WHOLE, **changes}.items() if tensor is not None}
    return shape_problems(stored, SHAPES, layers, FORM)


def test_a_whole_variant_has_none_under_any_spelling_and_with_any_floating_type() -> None:
    assert problems({}) == []
    renamed = {f"model.{name}" if name.startswith("visual") else name: tensor for name, tensor in WHOLE.items()}
    assert shape_problems(renamed, SHAPES, LAYERS, FORM) == []


def test_a_tied_head_that_is_stored_a_second_time_is_none_but_a_quantized_one_is_checked() -> None:
    assert problems({"lm_head.weight": Stored(torch.bfloat16, (100, 64))}) == []
    head = {f"lm_head.{suffix}": tensor for suffix, tensor in layout(FORM, INT4, (96, 64)).items()}
    assert "tensor lm_head.scales is float16 (2, 96), not float16 (2, 100)" in problems(
        head, {**LAYERS, "lm_head": Variant(8, 32)}
    )


@pytest.mark.parametrize(
    "name, tensor, says",
    [
        ("norm.weight", None, "tensor norm.weight is missing"),
        ("visual.a.qweight", None, "tensor visual.a.qweight is missing"),
        ("visual.a.bias", None, "tensor visual.a.bias is missing"),
        ("visual.b.weight", Stored(torch.float32, (3,)), "tensor visual.b.weight is none that this model has"),
        ("visual.a.weight", Stored(torch.float32, (16, 64)), "tensor visual.a.weight is none that this model has"),
        ("norm.weight", Stored(torch.float32, (3,)), "tensor norm.weight is float32 (3,), not float32 (64,)"),
        ("norm.weight", Stored(torch.int8, (64,)), "tensor norm.weight is int8 (64,), not float32 (64,)"),
        ("visual.a.qweight", Stored(torch.int32, (8, 8)), "tensor visual.a.qweight is int32 (8, 8), not int32 (8, 16)"),
        (
            "visual.a.scales",
            Stored(torch.float32, (2, 16)),
            "tensor visual.a.scales is float32 (2, 16), not float16 (2, 16)",
        ),
    ],
)
def test_each_tensor_that_does_not_fit_is_told(name: str, tensor: Stored | None, says: str) -> None:
    assert problems({name: tensor}) == [says]


def test_a_layer_that_cannot_be_stored_as_the_manifest_says_is_named() -> None:
    with pytest.raises(DoesNotDivide, match="64 wide, which groups of 128"):
        problems({}, {"visual.a": Variant(4, 128)})
