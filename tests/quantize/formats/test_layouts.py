"""Each layout against words worked out by hand, and against a slow reader written from FORMAT.md alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quantize.errors import ArtifactDamaged, DoesNotDivide, FormatUnknown
from quantize.formats.awq import Awq
from quantize.formats.compressed_tensors import CompressedTensors
from quantize.formats.gptq import Gptq
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

EIGHT = [0, 1, 2, 3, 4, 5, 6, 7]


def words(tensor: Tensor) -> list[list[str]]:
    return [[f"{word & 0xFFFFFFFF:08x}" for word in row] for row in tensor.tolist()]


def counting(text: str, n: int, k: int) -> QuantizedWeight:
    """Values that differ from row to row and column to column; zeros in the middle, or counting up from 0."""
    variant = Variant.parse(text)
    groups = variant.num_groups(k)
    values = (torch.arange(n)[:, None] + torch.arange(k)).remainder(variant.top + 1).to(torch.uint8)
    zeros = torch.full((n, groups), variant.middle, dtype=torch.uint8)
    if not variant.symmetric:
        zeros = torch.arange(n * groups).remainder(variant.top + 1).to(torch.uint8).reshape(n, groups)
    return QuantizedWeight(variant, values, torch.arange(1, n * groups + 1).reshape(n, groups).half() / 8, zeros)


def test_gptq_packs_along_the_inputs_and_stores_a_zero_of_8_as_7() -> None:
    tensors = Gptq().pack(counting("int4-g32", 8, 64))
    assert words(tensors["qweight"])[0][:2] == ["76543210", "87654321"]
    assert words(tensors["qweight"])[1][:2] == ["fedcba98", "0fedcba9"]
    assert words(tensors["qzeros"]) == [["77777777"], ["77777777"]]
    assert tensors["scales"].tolist()[0] == [1 / 8, 3 / 8, 5 / 8, 7 / 8, 9 / 8, 11 / 8, 13 / 8, 15 / 8]
    assert tensors["g_idx"].tolist() == [0] * 32 + [1] * 32


def test_gptq_in_eight_bits_stores_a_zero_of_128_as_127() -> None:
    tensors = Gptq().pack(counting("int8-channel", 4, 8))
    assert words(tensors["qweight"])[0] == ["03020100", "04030201", "05040302", "06050403"]
    assert words(tensors["qzeros"]) == [["7f7f7f7f"]]
    assert tensors["g_idx"].tolist() == [0] * 8


def test_version_2_of_gptq_stores_zeros_as_they_are() -> None:
    assert words(Gptq(2).pack(counting("int4-channel-asym", 8, 8))["qzeros"]) == [["76543210"]]
    assert words(Gptq(2).pack(counting("int4-channel", 8, 8))["qzeros"]) == [["88888888"]]


def test_awq_packs_along_the_outputs_in_its_own_order() -> None:
    tensors = Awq().pack(counting("int4-g32-asym", 8, 64))
    assert words(tensors["qweight"])[:2] == [["75316420"], ["86427531"]]
    assert words(tensors["qzeros"]) == [["ea62c840"], ["fb73d951"]]  # 0 2 4 6 8 a c e, and 1 3 5 7 9 b d f
    assert tensors["scales"].shape == (2, 8)


def test_compressed_tensors_packs_rows_and_says_their_shape() -> None:
    tensors = CompressedTensors().pack(counting("int4-g32-asym", 8, 64))
    assert words(tensors["weight_packed"])[0][:2] == ["76543210", "fedcba98"]
    assert words(tensors["weight_zero_point"]) == [["eca86420", "fdb97531"]]
    assert tensors["weight_shape"].tolist() == [8, 64] and tensors["weight_shape"].dtype == torch.int64
    assert tensors["weight_scale"].shape == (8, 2)


def test_compressed_tensors_stores_no_zeros_when_symmetric_and_pads_the_last_word() -> None:
    tensors = CompressedTensors().pack(counting("int4-channel", 3, 9))
    assert set(tensors) == {"weight_packed", "weight_scale", "weight_shape"}
    assert words(tensors["weight_packed"]) == [
        ["76543210", "00000008"],
        ["87654321", "00000009"],
        ["98765432", "0000000a"],
    ]


def slow_gptq(tensors: dict[str, Tensor], bits: int, shift: int) -> Tensor:
    per_word, top = 32 // bits, (1 << bits) - 1
    k, n = len(tensors["g_idx"]), tensors["scales"].shape[1]
    weight = torch.zeros(n, k)
    for row in range(n):
        for column in range(k):
            group = int(tensors["g_idx"][column])
            value = int(tensors["qweight"][column // per_word, row]) >> (bits * (column % per_word)) & top
            zero = (int(tensors["qzeros"][group, row // per_word]) >> (bits * (row % per_word)) & top) + shift
            weight[row, column] = float(tensors["scales"][group, row]) * (value - zero)
    return weight


@pytest.mark.parametrize("text", ["int4-g32", "int4-channel-asym", "int8-g32", "int8-g32-asym"])
def test_a_slow_reader_finds_the_same_weights_in_gptq_files(text: str) -> None:
    quantized = counting(text, 16, 64)
    form = Gptq.for_variants([quantized.variant])
    assert torch.equal(
        slow_gptq(form.pack(quantized), quantized.variant.bits, 2 - form.version), quantized.dequantize()
    )


def test_a_slow_reader_finds_the_same_weights_in_awq_files() -> None:
    quantized = counting("int4-g32-asym", 16, 64)
    tensors = Awq().pack(quantized)
    place = {number: place for place, number in enumerate([0, 2, 4, 6, 1, 3, 5, 7])}
    weight = torch.zeros(16, 64)
    for row in range(16):
        shift = 4 * place[row % 8]
        for column in range(64):
            value = int(tensors["qweight"][column, row // 8]) >> shift & 15
            zero = int(tensors["qzeros"][column // 32, row // 8]) >> shift & 15
            weight[row, column] = float(tensors["scales"][column // 32, row]) * (value - zero)
    assert torch.equal(weight, quantized.dequantize())


def test_a_slow_reader_finds_the_same_weights_in_compressed_tensors_files() -> None:
    quantized = counting("int4-g32-asym", 11, 64)
    tensors = CompressedTensors().pack(quantized)
    weight = torch.zeros(11, 64)
    for row in range(11):
        for column in range(64):
            signed = (int(tensors["weight_packed"][row, column // 8]) >> 4 * (column % 8) & 15) - 8
            zero = (int(tensors["weight_zero_point"][row // 8, column // 32]) >> 4 * (row % 8) & 15) - 8
            weight[row, column] = float(tensors["weight_scale"][row, column // 32]) * (signed - zero)
    assert torch.equal(weight, quantized.dequantize())


def test_version_1_reads_words_that_were_made_by_borrowing() -> None:
    """GPTQModel turns zeros into version 1 by taking one from each number of the whole word at once."""
    quantized = counting("int4-channel-asym", 16, 8)
    tensors = Gptq(2).pack(quantized)
    tensors["qzeros"] = tensors["qzeros"] - 0x11111111
    assert Gptq(1).unpack(tensors, (16, 8), "layer").equal(quantized)


def test_version_1_refuses_asymmetric_layers_and_all_layers_decide_the_version() -> None:
    symmetric, asymmetric = Variant(4, 128), Variant(4, 128, symmetric=False)
    assert Gptq.for_variants([symmetric, Variant(8, None)]) == Gptq(1)
    assert Gptq.for_variants([symmetric, asymmetric]) == Gptq(2)
    assert Gptq(1).refusal(symmetric) is None and Gptq(2).refusal(asymmetric) is None
    assert "zero of 0" in (Gptq(1).refusal(asymmetric) or "")
    with pytest.raises(FormatUnknown, match="version 2"):
        Gptq(1).pack(counting("int4-g32-asym", 8, 32))


@pytest.mark.parametrize("unset", [torch.full((64,), -1, dtype=torch.int32), torch.empty(0, dtype=torch.int32)])
@pytest.mark.parametrize("form, suffix", [(Gptq(), "g_idx"), (CompressedTensors(), "weight_g_idx")])
def test_an_order_of_inputs_that_is_not_set_is_none(form: Gptq | CompressedTensors, suffix: str, unset: Tensor) -> None:
    quantized = counting("int4-g32", 8, 64)
    assert form.unpack({**form.pack(quantized), suffix: unset}, (8, 64), "layer").equal(quantized)


def test_g_idx_may_be_absent_or_plain_but_not_out_of_order() -> None:
    quantized = counting("int4-g32", 8, 64)
    tensors = Gptq().pack(quantized)
    ordered = tensors.pop("g_idx")
    assert Gptq().unpack(tensors, (8, 64), "layer").equal(quantized)
    with pytest.raises(FormatUnknown, match=r"layer: g_idx .*activation order"):
        Gptq().unpack({**tensors, "g_idx": ordered.flip(0)}, (8, 64), "layer")
    ordered[0] = -1  # one that is not set among others that are
    with pytest.raises(FormatUnknown, match=r"layer: g_idx .*activation order"):
        Gptq().unpack({**tensors, "g_idx": ordered}, (8, 64), "layer")


@pytest.mark.parametrize("form, n, k", [(Gptq(), 12, 64), (Gptq(), 16, 12), (Awq(), 12, 64)])
def test_a_matrix_that_does_not_fill_whole_words_is_refused(form: Gptq | Awq, n: int, k: int) -> None:
    with pytest.raises(DoesNotDivide, match=f"{n} by {k}"):
        form.pack(counting("int4-channel", n, k))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scales_of_other_types_are_read_when_float16_holds_them(dtype: torch.dtype) -> None:
    quantized = counting("int4-g32", 8, 64)
    tensors = CompressedTensors().pack(quantized)
    tensors["weight_scale"] = tensors["weight_scale"].to(dtype)
    assert CompressedTensors().unpack(tensors, (8, 64), "layer").equal(quantized)
    tensors["weight_scale"][0, 0] = 3e-7
    with pytest.raises(FormatUnknown, match=r"layer: weight_scale .* float16 cannot hold"):
        CompressedTensors().unpack(tensors, (8, 64), "layer")


def test_groups_of_a_size_we_do_not_know_are_told() -> None:
    tensors = Gptq().pack(counting("int4-g32", 8, 64))
    del tensors["g_idx"]
    tensors["qzeros"], tensors["scales"] = tensors["qzeros"].repeat(2, 1), tensors["scales"].repeat(2, 1)
    with pytest.raises(FormatUnknown, match="layer is stored in groups of 16"):
        Gptq().unpack(tensors, (8, 64), "layer")


GPTQ, AWQ, CT = (form.pack(counting("int4-g32", 8, 64)) for form in (Gptq(), Awq(), CompressedTensors()))
DAMAGE = [
    (Gptq(), GPTQ, "qweight", None, "qweight is missing"),
    (Gptq(), GPTQ, "qweight", torch.zeros(8, 8), r"qweight is torch.float32 \(8, 8\), not torch.int32 \(any, 8\)"),
    (Gptq(), GPTQ, "qweight", GPTQ["qweight"][:, :7], r"qweight is torch.int32 \(8, 7\)"),
    (Gptq(), GPTQ, "qweight", GPTQ["qweight"][:4], "64 numbers in 4 words, 2 bits each; this version reads 4 and 8"),
    (Gptq(), GPTQ, "qzeros", GPTQ["qzeros"][:1], r"qzeros is torch.int32 \(1, 1\), not torch.int32 \(2, 1\)"),
    (Gptq(), GPTQ, "scales", GPTQ["scales"][0], r"scales is torch.float16 \(8,\)"),
    (Gptq(), GPTQ, "scales", GPTQ["scales"] * torch.inf, "scales holds numbers that are not finite"),
    (Gptq(), GPTQ, "g_idx", GPTQ["g_idx"][:9], r"g_idx is torch.int32 \(9,\)"),
    (Awq(), AWQ, "qweight", AWQ["qweight"][:32], r"qweight is torch.int32 \(32, 1\), not torch.int32 \(64, 1\)"),
    (Awq(), AWQ, "qzeros", AWQ["qzeros"].long(), "qzeros is torch.int64"),
    (Awq(), AWQ, "scales", AWQ["scales"][:0], r"qzeros is torch.int32 \(2, 1\), not torch.int32 \(0, 1\)"),
    (CompressedTensors(), CT, "weight_shape", torch.tensor([8, 63]), r"weight_shape says \[8, 63\]"),
    (CompressedTensors(), CT, "weight_packed", CT["weight_packed"][1:], r"not torch.int32 \(8, any\)"),
    (CompressedTensors(), CT, "weight_scale", torch.ones(8, 3).half(), "3 groups do not divide its 64 inputs"),
    (CompressedTensors(), CT, "weight_zero_point", torch.zeros(2, 2).int(), r"not torch.int32 \(1, 2\)"),
]


@pytest.mark.parametrize("form, tensors, suffix, tensor, message", DAMAGE)
def test_what_does_not_fit_is_told_with_the_layers_name(
    form: Gptq, tensors: dict[str, Tensor], suffix: str, tensor: Tensor | None, message: str
) -> None:
    changed = {name: part for name, part in tensors.items() if name != suffix}
    if tensor is not None:
        changed[suffix] = tensor
    with pytest.raises(ArtifactDamaged, match=rf"^model\.layers\.3\.mlp\.up_proj \(8 by 64\): .*{message}"):
        form.unpack(changed, (8, 64), "model.layers.3.mlp.up_proj")


@pytest.mark.parametrize("groups", [0, 3, 65])
def test_groups_that_do_not_divide_the_inputs_are_damage_and_no_activation_order(groups: int) -> None:
    tensors = {**GPTQ, "scales": torch.ones(groups, 8).half(), "qzeros": torch.zeros(groups, 1).int()}
    with pytest.raises(ArtifactDamaged, match=f"layer .*: {groups} groups do not divide its 64 inputs"):
        Gptq().unpack(tensors, (8, 64), "layer")


def test_a_row_too_short_to_tell_four_bits_from_eight_is_not_guessed() -> None:
    quantized = counting("int8-channel", 3, 4)
    with pytest.raises(ArtifactDamaged, match="4 numbers in 1 words"):
        CompressedTensors().unpack(CompressedTensors().pack(quantized), (3, 4), "layer")
