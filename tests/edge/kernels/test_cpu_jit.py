"""Programs made for this processor: right, the same to the bit alone and in company, and left out where they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from edge.kernels import choose, int8_rows
from edge.kernels.cpu_jit import FEW, CpuJit, JitInt4Weight, JitInt8Weight, JitWeight, _failed_check
from edge.kernels.jit import machine_code, team
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

CPU = torch.device("cpu")
VARIANTS = [Variant(4, 32), Variant(4, 64), Variant(4, 128), Variant(4, None), Variant(8, None)]
BY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=str)
MEANS = {"bfloat16": (True, True), "bytes": (False, True), "pairs": (False, False)}  # bfloat16, VNNI
made_here = pytest.mark.skipif(bool(machine_code.refusal()), reason=f"this processor {machine_code.refusal()}")


def make(variant: Variant, n: int, k: int, seed: int = 0) -> JitWeight:
    return JitInt4Weight(codes(variant, n, k, seed)) if variant.bits == 4 else JitInt8Weight(codes(variant, n, k, seed))


def codes(variant: Variant, n: int, k: int, seed: int = 0) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(variant.top + 1, (n, k), generator=generator).byte()
    scales = (torch.rand(n, variant.num_groups(k), generator=generator) * 0.02 + 0.001).half()
    return QuantizedWeight(variant, values, scales, torch.full_like(scales, variant.middle).byte())


def make_x(rows: int, k: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, k, generator=torch.Generator().manual_seed(seed)).bfloat16()


@pytest.fixture(params=MEANS)
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor with less would take, too."""
    for lacks, has in zip(MEANS[request.param], ("multiplies_bfloat16", "multiplies_bytes"), strict=True):
        if lacks and not getattr(machine_code, has)():
            pytest.skip(f"this processor has nothing that {has.replace('_', ' ')}")
        monkeypatch.setattr(machine_code, has, lambda lacks=lacks: lacks)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@made_here
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `means` holds for all examples
@given(
    variant=st.sampled_from(VARIANTS), n=st.integers(1, 40), blocks=st.integers(1, 5), rows=st.integers(1, FEW),
    towers=st.sampled_from([1.0, 0.0, -100.0, 1e4]), seed=st.integers(0, 99),
)  # fmt: skip
def test_few_rows_are_the_product_and_each_is_what_it_is_alone(
    means: None, variant: Variant, n: int, blocks: int, rows: int, towers: float, seed: int
) -> None:
    k = 128 * blocks
    weight, kernel, x = codes(variant, n, k, seed), make(variant, n, k, seed), make_x(rows, k, seed)
    x[seed % rows, seed % k] *= towers
    found = kernel.matmul(x)
    dequantized = weight.dequantize().double()
    off = 2**-8 * (x.double() @ dequantized.T).abs() + 2**-18 * (x.double().abs() @ dequantized.abs().T)
    off += 2**-16 * x.double().abs().amax(1, keepdim=True) * dequantized.abs().sum(1)
    assert ((found.double() - x.double() @ dequantized.T).abs() <= off).all()
    for row in range(rows):
        assert torch.equal(found[row], kernel.matmul(x[row]))


@made_here
@BY_VARIANT
def test_nothing_depends_on_the_number_of_threads(means: None, variant: Variant, threads: None) -> None:
    kernel = make(variant, 44, 256)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append([kernel.matmul(make_x(rows, 256)) for rows in (1, 7, 40)])
    assert all(torch.equal(*pair) for pair in zip(found[0], found[1], strict=True))
    assert all(torch.equal(*pair) for pair in zip(found[0], found[2], strict=True))


@made_here
@BY_VARIANT
def test_a_row_of_zeros_gives_zeros_and_what_is_no_number_spoils_its_row_alone(means: None, variant: Variant) -> None:
    kernel, x = make(variant, 12, 256), make_x(4, 256)
    alone = kernel.matmul(x[3])
    x[0], x[1, 7], x[2, 9] = 0.0, float("nan"), float("inf")
    found = kernel.matmul(x)
    assert not found[0].any() and not found[1:3].isfinite().any()
    assert torch.equal(found[3], alone)


@made_here
def test_sums_of_the_largest_numbers_do_not_run_over(means: None) -> None:
    for variant, value in product(VARIANTS, (0, 1)):
        weight = codes(variant, 8, 8960)
        weight.values[:] = value * variant.top
        kernel = JitInt4Weight(weight) if variant.bits == 4 else JitInt8Weight(weight)
        x = torch.full((1, 8960), 3.0).bfloat16()
        right = x.double() @ weight.dequantize().double().T
        assert torch.allclose(kernel.matmul(x).double(), right, rtol=2**-8)


@made_here
@BY_VARIANT
def test_eight_bits_are_the_numbers_rounded_to_one_step_a_row(variant: Variant) -> None:
    weight, kernel = codes(variant, 21, 384), make(variant, 21, 384)
    weight.values[3], weight.values[4] = 0, variant.top
    numbers = weight.values.float() - variant.middle
    if variant.bits == 4:
        scales = weight.scales.float()
        inverse = (scales.amax(1) * 8 / 127).bfloat16().float().reciprocal()
        numbers = (
            (numbers.unflatten(1, (scales.shape[1], -1)) * (scales * inverse[:, None])[:, :, None]).round().flatten(1)
        )
    kernel = JitInt4Weight(weight) if variant.bits == 4 else JitInt8Weight(weight)
    assert torch.equal(kernel.in_eight_bits()[:21].float(), numbers)
    assert numbers.abs().max() <= 128 - (variant.bits == 4)


@pytest.fixture(params=[64, 32])
def vector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Also what a processor with less would take."""
    if request.param > machine_code.widest_bytes():
        pytest.skip(f"this processor does not multiply {request.param} bytes at a time")
    monkeypatch.setattr(machine_code, "widest_bytes", lambda: request.param)
    width: int = request.param
    return width


@made_here
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `vector` holds for all examples
@given(
    variant=st.sampled_from(VARIANTS), rows=st.integers(FEW + 1, 50), n=st.integers(1, 90),
    chunks=st.sampled_from([1, 2, 5, 16]), threads=st.integers(1, 3), seed=st.integers(0, 9),
)  # fmt: skip
def test_many_rows_equal_sums_of_whole_numbers_to_the_bit(
    vector: int, variant: Variant, rows: int, n: int, chunks: int, threads: int, seed: int
) -> None:
    """With rows of zeros, of numbers too small for a step, and (of 16 chunks) with a towering one; by any number of
    threads."""
    kernel, x = make(variant, n, 128 * chunks, seed), make_x(rows, 128 * chunks, seed)
    x[0], x[1] = 0, x[1] * 2.0**-120
    x[2, seed] = 4000
    numbers = kernel.in_eight_bits().clone()
    right = int8_rows.product(x, numbers, kernel._steps, kernel._few)[:, :n]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(kernel.matmul(x), right)
    finally:
        torch.set_num_threads(before)


@made_here
def test_a_row_with_a_towering_number_is_multiplied_as_it_is(vector: int) -> None:
    kernel, x = make(Variant(4, 128), 12, 2048), make_x(FEW + 4, 2048)
    x[5, 7] = 4000
    assert torch.equal(kernel.matmul(x)[5:6], kernel.matmul(x[5:6]))
    assert not torch.equal(kernel.matmul(x)[6:7], kernel.matmul(x[6:7]))  # this one is rounded to eight bits


@made_here
def test_many_rows_of_the_largest_numbers_do_not_run_over(vector: int) -> None:
    for variant, value in product(VARIANTS, (0, 1)):
        weight = codes(variant, 8, 8960)
        weight.values[:] = value * variant.top
        kernel = JitInt4Weight(weight) if variant.bits == 4 else JitInt8Weight(weight)
        x = torch.full((FEW + 1, 8960), 3.0).bfloat16()
        right = x.double() @ weight.dequantize().double().T
        assert torch.allclose(kernel.matmul(x).double(), right, rtol=2**-6)


@made_here
def test_many_rows_that_are_no_numbers_leave_the_others_alone(vector: int) -> None:
    for variant in VARIANTS:
        kernel, x = make(variant, 12, 256), make_x(FEW + 4, 256)
        alone = kernel.matmul(x)
        x[1, 7], x[2, 9] = float("nan"), float("inf")
        found = kernel.matmul(x)
        assert not found[1:3].isfinite().any()
        assert torch.equal(found[3:], alone[3:])


@made_here
@BY_VARIANT
def test_rows_of_the_matrix_come_out_as_they_went_in(variant: Variant) -> None:
    weight, kernel = codes(variant, 21, 128), make(variant, 21, 128)
    indices = torch.tensor([[20, 0, 5], [4, 4, 19]])
    assert torch.equal(kernel.rows(indices), weight.dequantize().bfloat16()[indices])


@pytest.mark.parametrize(
    "variant, shape, dtype, device, reason",
    [
        (Variant(4, 128), (64, 128), torch.float32, "cpu", "float32"),
        (Variant(4, 128), (64, 128), torch.bfloat16, "cuda", "cuda"),
        (Variant(4, 128, False), (64, 128), torch.bfloat16, "cpu", "symmetric"),
        (Variant(8, 128), (64, 128), torch.bfloat16, "cpu", "one scale a row"),
        (Variant(4, 32), (64, 96), torch.bfloat16, "cpu", "64"),
        (Variant(8, None), (64, 48), torch.bfloat16, "cpu", "32"),
    ],
)
def test_what_it_does_not_take_is_refused_with_the_reason(
    variant: Variant, shape: tuple[int, int], dtype: torch.dtype, device: str, reason: str
) -> None:
    assert reason in str(CpuJit.refusal(variant, shape, dtype, torch.device(device)))


def test_without_llvmlite_another_kernel_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert "pip install llvmlite" in str(machine_code.refusal())
    monkeypatch.setattr("edge.kernels.cpu_jit._failed_check", machine_code.refusal)
    choice = choose("auto", Variant(4, 128), (64, 128), torch.bfloat16, CPU)
    assert choice.name != "cpu-jit" and "llvmlite" in choice.reason


def test_threads_that_are_not_gnus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "library", lambda: None)
    assert "OpenMP" in str(machine_code.refusal())


@made_here
def test_a_program_that_multiplies_wrongly_is_left_out_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _failed_check.__wrapped__() is None
    monkeypatch.setattr(team, "run", lambda program, arguments: None)  # what comes out is what lay there
    monkeypatch.setattr(torch, "empty", torch.zeros)
    assert "int4-g128 wrongly" in str(_failed_check.__wrapped__())


@made_here
def test_a_program_that_cannot_be_made_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for which in ("_row_product", "_integer_product"):
        monkeypatch.setattr(f"edge.kernels.cpu_jit.{which}", lambda *which: machine_code.compiled("no program"))
    assert "cannot be made here" in str(_failed_check.__wrapped__())
