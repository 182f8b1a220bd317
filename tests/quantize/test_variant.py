"""A variant is what its name says, and says its name."""

from __future__ import annotations

import pytest

from quantize.errors import BadVariant, DoesNotDivide
from quantize.variant import BITS, GROUPS, Variant

ALL = [Variant(bits, group, symmetric) for bits in BITS for group in GROUPS for symmetric in (True, False)]


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_every_name_reads_back(variant: Variant) -> None:
    assert Variant.parse(str(variant)) == variant


@pytest.mark.parametrize(
    "text", ["", "int4", "int3-g128", "int4-g100", "int4-g0", "4-g128", "int4-g128-sym", "INT4-G128", " int8-channel"]
)
def test_what_is_no_variant_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadVariant, match=r"write it like|choose 32|stores weights"):
        Variant.parse(text)


@pytest.mark.parametrize("bits", BITS)
def test_the_middle_is_half_of_the_range(bits: int) -> None:
    variant = Variant(bits)
    assert (variant.top, variant.middle) == (2**bits - 1, 2 ** (bits - 1))


def test_a_row_is_a_whole_number_of_groups() -> None:
    assert Variant(4, 128).num_groups(1536) == 12
    assert Variant(8, None).num_groups(1176) == 1
    with pytest.raises(DoesNotDivide, match=r"patch_embed is 1176 wide, which groups of 128"):
        Variant(4, 128).num_groups(1176, "patch_embed")


@pytest.mark.parametrize(
    "text, nbytes",
    [
        ("int4-g128", 8 * 256 // 2 + 8 * 2 * 2),
        ("int4-g32-asym", 8 * 256 // 2 + 8 * 8 * 3),
        ("int8-channel", 8 * 256 + 8 * 2),
    ],
)
def test_a_matrix_takes_its_numbers_and_a_scale_and_perhaps_a_zero_point_for_each_group(text: str, nbytes: int) -> None:
    assert Variant.parse(text).nbytes(8, 256) == nbytes
