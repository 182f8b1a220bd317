"""Every kernel of the registry against the plain product, for every variant and for numbers chosen to hurt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edge.errors import UnknownKernel
from edge.kernels import KERNELS, Kernel, choose, int8_rows
from edge.kernels.cpu import Cpu, Int4Weight, Int8Weight
from edge.kernels.cpu_copy import CpuCopy
from edge.kernels.cpu_jit import FEW, CpuJit, JitWeight
from edge.kernels.reference import Reference
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import BITS, GROUPS, Variant

VARIANTS = [Variant(*choice) for choice in product(BITS, GROUPS, (True, False))]
CPU = torch.device("cpu")
TINY, HUGE = 2.0**-24, 65504.0  # what float16 can hold
MANY = 65  # rows; no kernel multiplies more than 64 with packed numbers
NUMBERS = ["random", "negative scales", "least", "greatest", "tiny scales", "huge scales", "zeros at the ends"]

# Of the largest product that the scales allow. Sums of float32 differ by the order of adding; bfloat16 rounds scales,
# weights and results, each by 2^-8 at most: two of them, or all three where the CPU kernel unpacks first.
TOLERANCE = {torch.float32: 4e-6, torch.bfloat16: 2**-7}
UNPACKED = 3 * 2**-8

HERE = [
    pytest.param(name, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}")
    for name in KERNELS
    for dtype in TOLERANCE
    if choose(name, Variant(8, None), (64, 64), dtype, CPU).name == name
]


def make_codes(variant: Variant, n: int, k: int, kind: str = "random", seed: int = 0) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(seed)
    groups = variant.num_groups(k)
    values = torch.randint(variant.top + 1, (n, k), generator=generator).byte()
    scales = torch.rand(n, groups, generator=generator) * 0.02 + 0.001
    zeros = torch.full((n, groups), variant.middle).byte()
    if not variant.symmetric:
        zeros = torch.randint(variant.top + 1, (n, groups), generator=generator).byte()
    if kind in ("least", "greatest"):
        values = torch.full_like(values, 0 if kind == "least" else variant.top)
    if kind in ("tiny scales", "huge scales"):
        scales = torch.full_like(scales, TINY if kind == "tiny scales" else HUGE)
    if kind == "negative scales":
        scales[::2] *= -1
    if kind == "zeros at the ends" and not variant.symmetric:
        zeros = (zeros % 2) * variant.top
    return QuantizedWeight(variant, values, scales.half(), zeros)


def make_x(rows: int, k: int, dtype: torch.dtype, outliers: bool = False) -> Tensor:
    x = torch.randn(rows, k, generator=torch.Generator().manual_seed(rows))
    if outliers:
        x[:, :: k // 4] *= 1000
    return x.to(dtype)


def prepare(name: str, codes: QuantizedWeight, dtype: torch.dtype) -> Kernel:
    """The kernel of that name, and no other."""
    choice = choose(name, codes.variant, codes.shape, dtype, CPU)
    if choice.name != name:
        pytest.skip(choice.reason)
    return choice.maker.prepare(codes, dtype)


def assert_right(kernel: Kernel, codes: QuantizedWeight, x: Tensor) -> None:
    """`matmul` against the product in float64, relative to the largest product that the scales allow."""
    reach = (codes.scales.double().abs() * 2**codes.variant.bits).repeat_interleave(
        codes.shape[1] // codes.scales.shape[1], 1
    )
    right = x.double() @ codes.dequantize().double().T
    found = kernel.matmul(x)
    assert found.dtype == x.dtype and found.shape == right.shape
    is_unpacked = isinstance(kernel, Int8Weight | Int4Weight) and len(x) > kernel.few_rows
    tolerance = UNPACKED if is_unpacked else TOLERANCE[x.dtype]
    allowed = tolerance * (x.double().abs() @ reach.T)
    if is_rounded(kernel, len(x)):  # the row, and the row of a four-bit matrix, by half a step of their own
        weight, half_step = codes.dequantize().double().abs(), (0.5 + 2**-6) / 127
        allowed += half_step * x.double().abs().amax(1, keepdim=True) * weight.sum(1)
        allowed += half_step * 2 * x.double().abs().sum(1, keepdim=True) * weight.amax(1)
    assert ((found.double() - right).abs() <= allowed).all()


def is_rounded(kernel: Kernel, rows: int) -> bool:
    """Whether so many rows of x are multiplied in eight bits."""
    if isinstance(kernel, JitWeight):
        return rows > FEW
    return isinstance(kernel, Int8Weight) and rows > kernel.few_rows and int8_rows.is_fast()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("name, dtype", HERE)
def test_matmul_is_the_product_with_the_dequantized_matrix(name: str, variant: Variant, dtype: torch.dtype) -> None:
    for kind in NUMBERS:
        codes = make_codes(variant, 80, 256, kind)
        kernel = prepare(name, codes, dtype)
        for rows, outliers in ((1, False), (3, True), (MANY, True)):
            assert_right(kernel, codes, make_x(rows, 256, dtype, outliers))


@given(
    variant=st.sampled_from(VARIANTS), n=st.integers(1, 150), blocks=st.integers(1, 12), seed=st.integers(0, 99),
    name=st.sampled_from(list(KERNELS)), dtype=st.sampled_from(list(TOLERANCE)),
)  # fmt: skip
def test_no_size_is_special(variant: Variant, n: int, blocks: int, seed: int, name: str, dtype: torch.dtype) -> None:
    codes = make_codes(variant, n, blocks * (variant.group or 8), seed=seed)
    choice = choose(name, variant, codes.shape, dtype, CPU)
    kernel = choice.maker.prepare(codes, dtype)
    assert_right(kernel, codes, make_x(seed % 4, codes.shape[1], dtype))
    with pytest.MonkeyPatch.context() as patch:  # so that matrices and pieces end in the middle
        patch.setattr("edge.kernels.cpu.WHOLE", 1 << 14)
        patch.setattr("edge.kernels.cpu.PIECE", 1 << 12)
        assert_right(kernel, codes, make_x(MANY, codes.shape[1], dtype))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_rows_are_those_of_the_dequantized_matrix(name: str, variant: Variant) -> None:
    codes = make_codes(variant, 150, 128)
    indices = torch.tensor([[0, 31, 32], [63, 64, 149], [0, 0, 127]])
    found = prepare(name, codes, torch.bfloat16).rows(indices)
    right = codes.dequantize()[indices]
    assert found.shape == (3, 3, 128) and found.dtype == torch.bfloat16
    reach = codes.scales.float()[indices].amax(-1, keepdim=True) * 2**variant.bits
    assert ((found.float() - right).abs() <= TOLERANCE[torch.bfloat16] * reach).all()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("variant", ["int4-g32", "int8-g64", "int8-channel"])
def test_any_shape_and_place_in_memory_of_x_will_do(name: str, variant: str) -> None:
    codes = make_codes(Variant.parse(variant), 48, 64)
    kernel = prepare(name, codes, torch.bfloat16)
    many = make_x(MANY + 1, 64, torch.bfloat16)
    right = kernel.matmul(many)
    assert torch.equal(kernel.matmul(many.view(3, -1, 64)), right.view(3, -1, 48))
    assert torch.equal(kernel.matmul(torch.cat([many, many], dim=1)[:, 64:]), right)
    x = make_x(6, 64, torch.bfloat16)
    right = kernel.matmul(x)
    assert torch.equal(kernel.matmul(x.view(2, 3, 64)), right.view(2, 3, 48))
    assert torch.equal(kernel.matmul(x[4]), right[4])
    assert kernel.matmul(x[:0]).shape == (0, 48)
    wider = torch.cat([x, x], dim=1)
    assert torch.equal(kernel.matmul(wider[:, 64:]), right)
    askew = torch.empty(1 + 6 * 64, dtype=torch.bfloat16)[1:].view(6, 64).copy_(x)  # two bytes beside every vector
    assert torch.equal(kernel.matmul(askew), right)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_in_the_cpu_kernel_a_row_does_not_depend_on_the_rows_beside_it(variant: Variant) -> None:
    codes = make_codes(variant, 144, 512)
    kernel = prepare("cpu", codes, torch.bfloat16)
    assert isinstance(kernel, Int8Weight | Int4Weight)
    x = make_x(kernel.few_rows, 512, torch.bfloat16, outliers=True)
    together = kernel.matmul(x)
    for part in (1, 2, 3, 5, 17):
        assert torch.equal(torch.cat([kernel.matmul(piece) for piece in x.split(part)]), together)


@pytest.mark.parametrize("variant", ["int4-g32", "int8-channel"])
def test_what_is_unpacked_is_nobody_elses(variant: str) -> None:
    """One place in memory serves every matrix of a thread, in inference mode and without, beside other threads."""
    kernels = [prepare("cpu", make_codes(Variant.parse(variant), 48, 64, seed=seed), torch.bfloat16) for seed in (0, 1)]
    x = make_x(MANY, 64, torch.bfloat16)
    with torch.inference_mode():
        right = [kernel.matmul(x) for kernel in kernels]
    assert all(torch.equal(kernel.matmul(x), found) for kernel, found in zip(kernels, right, strict=True))

    def often(index: int) -> bool:
        return all(torch.equal(kernels[index].matmul(x), right[index]) for _ in range(200))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(often, (0, 1))) == [True, True]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_reference_is_the_definition_itself(variant: Variant, dtype: torch.dtype) -> None:
    codes = make_codes(variant, 40, 256)
    kernel, weight = Reference(codes, dtype), codes.dequantize().to(dtype)
    x = make_x(5, 256, dtype)
    assert torch.equal(kernel.matmul(x), x @ weight.T)
    assert torch.equal(kernel.rows(torch.arange(40)), weight)


@pytest.mark.parametrize("width", [1, 7, 33])
def test_the_reference_takes_odd_widths(width: int) -> None:
    codes = make_codes(Variant(4, None), 9, width)
    assert torch.equal(Reference(codes, torch.float32).rows(torch.arange(9)), codes.dequantize())


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_large_matrix_goes_block_by_block_and_takes_little_more_than_its_file(
    name: str, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.kernels.cpu.WHOLE", 1 << 19)
    monkeypatch.setattr("edge.kernels.cpu.PIECE", 1 << 17)
    codes = make_codes(variant, 1088, 1024)
    kernel = prepare(name, codes, torch.bfloat16)
    x = make_x(MANY, 1024, torch.bfloat16)
    assert_right(kernel, codes, x)
    right = x.float() @ codes.dequantize().T
    more = 2 if is_rounded(kernel, MANY) else 1  # steps of 1/127 of a row's largest: 0.8 %
    assert (kernel.matmul(x).float() - right).norm() <= more * TOLERANCE[x.dtype] * right.norm()
    stored = codes.values.numel() * variant.bits / 8
    scales = 8 * max(codes.scales.numel(), codes.values.numel() // 256)  # a scale and an offset for each nibble
    assert kernel.nbytes <= stored + scales


def test_auto_takes_the_fastest_that_can_and_says_why_it_is_not_another() -> None:
    variant, shape = Variant(4, 32), (64, 64)
    if Cpu.refusal(variant, shape, torch.bfloat16, CPU):
        pytest.skip("this processor has neither AVX2 nor AVX-512")
    unmade, uncopied = (maker.refusal(variant, shape, torch.bfloat16, CPU) for maker in (CpuJit, CpuCopy))
    fastest = choose("auto", variant, shape, torch.bfloat16, CPU)
    assert fastest.name == ("cpu" if unmade else "cpu-jit")
    assert fastest.reason == (f"cpu-jit: {unmade} cpu-copy: {uncopied}" if unmade else "")
    plain = choose("auto", variant, shape, torch.float32, CPU)
    assert plain.name == "reference" and "cpu" in plain.reason and "float32" in plain.reason


@pytest.mark.parametrize(
    "shape, dtype, device, says",
    [
        ((64, 48), torch.bfloat16, "cpu", "48"),
        ((64, 64), torch.float16, "cpu", "float16"),
        ((64, 64), torch.bfloat16, "meta", "meta"),
    ],
)
def test_a_kernel_that_cannot_gives_way_to_the_reference_with_a_reason(
    shape: tuple[int, int], dtype: torch.dtype, device: str, says: str
) -> None:
    choice = choose("cpu", Variant(8, None), shape, dtype, torch.device(device))
    assert choice.name == "reference" and says in choice.reason


def test_a_kernel_of_ones_own_is_named_by_its_import_path() -> None:
    choice = choose("edge.kernels.reference:Reference", Variant(4, 32), (8, 32), torch.float32, CPU)
    assert choice.maker is Reference and choice.reason == ""


@pytest.mark.parametrize("name", ["cpy", "edge.kernels.reference:Referenz", "edge.kernels:KERNELS"])
def test_a_kernel_that_is_none_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownKernel, match="reference, cpu"):
        choose(name, Variant(4, 32), (8, 32), torch.float32, CPU)


def test_without_instructions_for_bfloat16_blocks_are_multiplied_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.kernels.cpu._product_dtype", lambda: torch.float32)
    for variant in VARIANTS:
        codes = make_codes(variant, 80, 256)
        assert_right(prepare("cpu", codes, torch.bfloat16), codes, make_x(MANY, 256, torch.bfloat16))


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_on_a_gpu(name: str, variant: Variant) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    codes = make_codes(variant, 80, 256)
    device = torch.device("cuda")
    there = QuantizedWeight(variant, *(part.to(device) for part in (codes.values, codes.scales, codes.zeros)))
    for dtype in TOLERANCE:
        x = make_x(3, 256, dtype, outliers=True)
        choice = choose(name, variant, codes.shape, dtype, device)
        found = choice.maker.prepare(there, dtype).matmul(x.to(device)).cpu()
        reference = Reference(codes, dtype).matmul(x)
        reach = x.float().abs() @ torch.full((256, 80), float(codes.scales.max()) * 2**variant.bits)
        assert ((found - reference).abs() <= 2 * TOLERANCE[dtype] * reach).all()
