"""Words are what their definition says, number by number."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantize.formats.packing import num_words, pack, unpack

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    bits = draw(st.sampled_from([4, 8]))
    height, width, seed = draw(st.integers(1, 5)), draw(st.integers(1, 70)), draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 1 << bits, (height, width), dtype=torch.uint8, generator=generator), bits


@given(matrices())
def test_a_word_holds_its_numbers_from_the_lowest_bits_up_and_zeros_after_the_last(case: tuple) -> None:
    values, bits = case
    words = pack(values, bits)
    assert words.dtype == torch.int32 and words.shape == (len(values), num_words(values.shape[1], bits))
    for row, numbers in zip(words.tolist(), values.tolist(), strict=True):
        whole = sum(number << (bits * place) for place, number in enumerate(numbers))
        assert sum((word & 0xFFFFFFFF) << (32 * place) for place, word in enumerate(row)) == whole


@given(matrices(), st.booleans(), st.booleans())
def test_unpack_undoes_pack_along_either_axis_and_in_any_order(case: tuple, turned: bool, ordered: bool) -> None:
    values, bits = case
    values = values.T if turned else values
    order = torch.randperm(32 // bits, generator=torch.Generator().manual_seed(values.numel())).tolist()
    words = pack(values, bits, order if ordered else None)
    found = unpack(words, bits, values.shape[1], order if ordered else None)
    assert torch.equal(found, values) and found.is_contiguous()


@pytest.mark.parametrize(
    "values, bits, order, word",
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 4, None, 0x76543210),
        ([8, 9, 10, 11, 12, 13, 14, 15], 4, None, 0xFEDCBA98 - (1 << 32)),
        ([0, 1, 2, 3, 4, 5, 6, 7], 4, AWQ_ORDER, 0x75316420),
        ([1, 2, 3, 4], 8, None, 0x04030201),
        ([0, 0, 0, 255], 8, None, -(1 << 24)),
        ([9], 4, None, 9),
    ],
)
def test_words_worked_out_by_hand(values: list[int], bits: int, order: tuple | None, word: int) -> None:
    assert pack(torch.tensor([values], dtype=torch.uint8), bits, order).tolist() == [[word]]


def test_parts_of_a_larger_tensor_are_packed_like_any_other() -> None:
    values = torch.arange(40, dtype=torch.uint8).reshape(4, 10)
    assert pack(values[:, 1:2].T, 8).tolist() == [[0x1F150B01]]
    words = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    assert unpack(words[:1, 1:], 8, 4).tolist() == [[2, 0, 0, 0]]
    assert unpack(words[:, 1:].T, 8, 8).tolist() == [[2, 0, 0, 0, 4, 0, 0, 0]]
