"""Many rows in eight bits against the same sums in Python's integers, and the copy that INT4 may have for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edge.kernels import int8_rows
from edge.kernels.cpu import Int4Weight
from edge.kernels.cpu_copy import VARIABLE, CopiedWeight, CpuCopy
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

CPU = torch.device("cpu")
INT4 = Variant(4, 32)


def make_x(rows: int, width: int, kind: str = "random", seed: int = 0) -> Tensor:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    if kind == "outliers":
        x[:, :: max(1, width // 4)] *= 1000
    if kind == "nothing":
        x[::2] = 0
    if kind == "tiny":
        x *= 2.0**-60
    return x.bfloat16()


def make_matrix(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(-127, 128, (height, width), generator=generator).to(torch.int8)
    return numbers, (torch.rand(height, generator=generator) + 0.01).bfloat16()


def make_int4(height: int = 64, width: int = 96) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(3)
    scales = (torch.rand(height, width // 32, generator=generator) * 0.02 + 0.001).half()
    values = torch.randint(16, (height, width), generator=generator).byte()
    return QuantizedWeight(INT4, values, scales, torch.full_like(scales, 8, dtype=torch.uint8))


def none_towers(x: Tensor) -> Tensor:
    raise AssertionError("no row has a number that large")


def slow_product(x: Tensor, numbers: Tensor, steps: Tensor) -> Tensor:
    """The same story in whole numbers of any size."""
    x_steps = (x.abs().amax(1, keepdim=True).float() / 127).clamp(min=int8_rows.LEAST_STEP)
    rounded = (x / x_steps).round().numpy().astype(np.int64)
    sums = torch.from_numpy(rounded @ numbers.numpy().astype(np.int64).T)
    return (sums.float() * x_steps * steps).bfloat16()


@given(
    rows=st.integers(1, 40), height=st.integers(1, 70), width=st.integers(2, 130), seed=st.integers(0, 9),
    kind=st.sampled_from(["random", "outliers", "nothing", "tiny"]),
)  # fmt: skip
def test_sums_are_those_of_whole_numbers_to_the_bit(rows: int, height: int, width: int, seed: int, kind: str) -> None:
    # A width of 1 is left out: `torch._int_mm` is wrong there (PyTorch 2.13), and no layer has it.
    x, (numbers, steps) = make_x(rows, width, kind, seed), make_matrix(height, width, seed)
    found = int8_rows.product(x, numbers, steps, none_towers)
    assert torch.equal(found, slow_product(x, numbers, steps))
    assert torch.equal(found[-1:], int8_rows.product(x[-1:], numbers, steps, none_towers))  # whoever sits beside it


def test_the_largest_sums_do_not_overflow() -> None:
    """A width far above that of any layer, every product the largest there is."""
    x, numbers = torch.ones(2, 131_072).bfloat16(), torch.full((3, 131_072), -127, dtype=torch.int8)
    assert (int8_rows.product(x, numbers, torch.ones(3).bfloat16(), none_towers) == -127.0 * 131_072).all()


@pytest.mark.parametrize("count", [1, 90])
def test_rows_with_a_towering_number_are_multiplied_as_they_are(count: int) -> None:
    """As many of them as are multiplied packed, and more; the others know nothing of it."""
    codes = make_int4(64, 2048)
    x = make_x(100, 2048)
    rows = torch.arange(count)
    x[rows, 7 * rows] = 4000
    kernel = CopiedWeight(codes)
    found, right = kernel.matmul(x).float(), x.float() @ codes.dequantize().T

    assert torch.equal(found[count:], kernel.matmul(make_x(100, 2048)).float()[count:])
    # What the towering number makes is left out of the measure, and its rounding to bfloat16 is not.
    large = 4000 * codes.dequantize()[:, 7 * rows].T
    error = (found[:count] - right[:count]).norm(dim=1)
    assert (error <= 2**-7 * large.norm(dim=1)).all()
    rounded = int8_rows.round_matrix(codes.dequantize())
    steps = 4000 / 127
    lost = (steps * (x[:count].float() / steps).round() - x[:count].float()) @ (
        rounded[0] * rounded[1][:, None]
    ).T.float()
    assert (error <= lost.norm(dim=1) / 2).all()


def test_the_copy_is_the_matrix_but_for_a_little_of_each_rows_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    codes = make_int4()
    weight = codes.dequantize()
    numbers, steps = int8_rows.round_matrix(weight)
    largest = weight.abs().amax(1, keepdim=True)
    assert ((numbers * steps[:, None].float() - weight).abs() <= largest / 127 * (0.5 + 2**-8 * 127)).all()


def test_few_rows_are_what_they_are_without_a_copy_and_many_come_close() -> None:
    codes = make_int4()
    copied, packed = CopiedWeight(codes), Int4Weight(codes)
    few, many = make_x(16, 96), make_x(40, 96)
    assert torch.equal(copied.matmul(few), packed.matmul(few))
    right = many.float() @ codes.dequantize().T
    assert (copied.matmul(many).float() - right).norm() <= 0.02 * right.norm()
    assert copied.nbytes == packed.nbytes + codes.values.numel() + 2 * len(codes.values)
    assert torch.equal(copied.rows(torch.arange(9)), packed.rows(torch.arange(9)))


@pytest.mark.parametrize(
    "said, variant, fast, reason",
    [
        ("", INT4, True, "off"),
        ("0", INT4, True, "off"),
        ("1", Variant(8, None), True, "INT4"),
        ("1", INT4, False, "VNNI"),
        ("1", INT4, True, None),
    ],
)
def test_a_copy_is_made_where_it_is_asked_for_and_where_it_helps(
    said: str, variant: Variant, fast: bool, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, said)
    monkeypatch.setattr(int8_rows, "is_fast", lambda: fast)
    refusal = CpuCopy.refusal(variant, (64, 96), torch.bfloat16, CPU)
    assert refusal is None if reason is None else reason in str(refusal)


def test_where_bytes_are_not_multiplied_fast_rows_are_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8_rows, "is_fast", lambda: False)
    monkeypatch.setattr(int8_rows, "PIECE", 7 * 64)  # several, of which the last is smaller
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(20, 64, generator=generator).bfloat16(), torch.randn(40, 64, generator=generator)
    numbers, steps = int8_rows.round_matrix(weight)
    found = int8_rows.product(x, numbers, steps, lambda rows: rows)
    right = x.double() @ (numbers.double() * steps.double()[:, None]).T
    assert torch.allclose(found.double(), right, rtol=2**-8, atol=1e-4)
