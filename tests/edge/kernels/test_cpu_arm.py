"""The kernel for ARM: its operators run everywhere, so its numbers are checked everywhere; not its speed."""

from __future__ import annotations

import platform

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge.kernels import choose
from edge.kernels.cpu_arm import CpuArm
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

CPU = torch.device("cpu")
VARIANTS = [Variant(4, 32), Variant(4, 64), Variant(4, 128), Variant(4, None)]


def codes(variant: Variant, n: int, k: int, seed: int) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(variant.top + 1, (n, k), generator=generator).byte()
    scales = torch.randn(n, variant.num_groups(k), generator=generator).mul_(0.02).half()
    return QuantizedWeight(variant, values, scales, torch.full_like(scales, variant.middle).byte())


@given(
    variant=st.sampled_from(VARIANTS), n=st.integers(1, 40), blocks=st.integers(1, 4), rows=st.integers(1, 20),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]), seed=st.integers(0, 99),
)  # fmt: skip
def test_it_is_the_product_but_for_eight_bits_of_each_row(
    variant: Variant, n: int, blocks: int, rows: int, dtype: torch.dtype, seed: int
) -> None:
    k = 128 * blocks
    weight = codes(variant, n, k, seed)
    x = torch.randn(rows, k, generator=torch.Generator().manual_seed(seed)).to(dtype)
    found = CpuArm.prepare(weight, dtype).matmul(x)
    dequantized = weight.dequantize().double()
    step = (x.amax(1) - x.amin(1).clamp(max=0)).double() / 255
    off = 0.51 * step[:, None] * dequantized.abs().sum(1) + 2**-8 * (x.double().abs() @ dequantized.abs().T)
    assert found.dtype == dtype
    assert ((found.double() - x.double() @ dequantized.T).abs() <= off + 2**-8 * found.double().abs()).all()


def test_rows_and_what_is_added() -> None:
    weight = codes(Variant(4, 32), 12, 64, 0)
    kernel = CpuArm.prepare(weight, torch.float32)
    indices = torch.tensor([[3, 0], [11, 3]])
    assert torch.allclose(kernel.rows(indices), weight.dequantize()[indices], atol=2e-3)
    x, bias = torch.randn(2, 3, 64), torch.randn(12)
    assert torch.equal(kernel.matmul(x, bias), kernel.matmul(x) + bias)


def test_on_arm_four_bits_go_by_it_and_eight_by_pytorchs_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr("edge.kernels.cpu_jit._failed_check", lambda: "needs avx2, which this processor does not have.")
    monkeypatch.setattr("edge.kernels.cpu._rows_together", lambda: None)
    chosen = {
        variant: choose("auto", variant, (64, 128), torch.bfloat16, CPU).name
        for variant in (*VARIANTS, Variant(8, None), Variant(4, 128, False))
    }
    assert chosen == {
        **dict.fromkeys(VARIANTS, "cpu-arm"),
        Variant(8, None): "cpu",
        Variant(4, 128, False): "reference",
    }


def test_elsewhere_it_says_why_not() -> None:
    choice = choose("cpu-arm", Variant(4, 128), (64, 128), torch.bfloat16, CPU)
    assert choice.name == "reference" and "is for ARM" in choice.reason
