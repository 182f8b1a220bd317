"""Each Triton program against the plain computation it stands for, on this machine's GPU or under the interpreter."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edge import operations
from edge.kernels.cuda import Cuda, CudaWeight
from edge.kernels.triton import attention, elementwise
from edge.kernels.triton.packing import pack, unpack
from edge.kernels.triton.product import PackedMatrix, Tiling, multiply
from edge.kernels.triton.unpacking import unpack_rows
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import BITS, GROUPS, Variant

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Of the largest result. Results are rounded, by half a last digit each; the interpreter cuts bfloat16 off instead.
CLOSE = {torch.float16: 2**-9, torch.bfloat16: 2**-6}
VARIANTS = [Variant(*choice) for choice in product(BITS, GROUPS, (True, False))]


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def make_codes(variant: Variant, n: int, k: int, seed: int = 0) -> QuantizedWeight:
    numbers = torch.Generator().manual_seed(seed)
    groups = variant.num_groups(k)
    zeros = torch.full((n, groups), variant.middle)
    if not variant.symmetric:
        zeros = torch.randint(variant.top + 1, (n, groups), generator=numbers)
    return QuantizedWeight(
        variant,
        torch.randint(variant.top + 1, (n, k), generator=numbers).byte().to(DEVICE),
        (torch.rand(n, groups, generator=numbers) * 0.02 + 0.001).half().to(DEVICE),
        zeros.byte().to(DEVICE),
    )


def matrix(codes: QuantizedWeight) -> PackedMatrix:
    variant, width = codes.variant, codes.shape[1]
    zeros = None if variant.symmetric else codes.zeros
    words = pack(codes.values, variant.bits)
    return PackedMatrix(words, codes.scales, zeros, variant.bits, variant.group or width, variant.middle, width)


def assert_close(found: Tensor, right: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype and found.shape == right.shape
    assert ((found.float() - right.float()).abs() <= CLOSE[dtype] * right.float().abs().max()).all()


@given(bits=st.sampled_from(BITS), n=st.integers(1, 5), k=st.integers(1, 600), seed=st.integers(0, 9))
def test_what_was_packed_comes_out_again(bits: int, n: int, k: int, seed: int) -> None:
    values = torch.randint(1 << bits, (n, k), generator=torch.Generator().manual_seed(seed)).byte()
    assert torch.equal(unpack(pack(values, bits), bits, k), values)


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_product_is_that_with_the_dequantized_matrix(variant: Variant, dtype: torch.dtype) -> None:
    """Columns and stretches that end in the middle, whole rows and parts, a bias and a residual."""
    codes = make_codes(variant, 37, 384)
    right = codes.dequantize()
    for rows, parts, added in ((1, 1, random(37)), (17, 3, random(17, 37))):
        x = random(rows, 384, dtype=dtype, seed=rows)
        found = multiply(x, matrix(codes), added.to(dtype), Tiling(parts=parts))
        assert_close(found, x.float() @ right.T + added.to(dtype).float(), dtype)


@settings(max_examples=6, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS), n=st.integers(1, 70), blocks=st.integers(1, 4), rows=st.integers(1, 20),
    parts=st.integers(1, 9),
)  # fmt: skip
def test_no_size_is_special(variant: Variant, n: int, blocks: int, rows: int, parts: int) -> None:
    k = blocks * (variant.group or 8)
    codes, x = make_codes(variant, n, k), random(rows, k, dtype=torch.float16)
    assert_close(multiply(x, matrix(codes), None, Tiling(parts=parts)), x.float() @ codes.dequantize().T, x.dtype)


@pytest.mark.parametrize("kind", ["least", "greatest", "huge scales"])
def test_numbers_at_the_ends_are_exact_in_sixteen_bits(kind: str) -> None:
    codes = make_codes(Variant(8, 32, symmetric=False), 16, 128)
    codes.values.fill_(0 if kind == "least" else 255)
    codes.zeros.copy_(codes.zeros % 2 * 255)
    if kind == "huge scales":
        codes.scales.fill_(65504.0)
    x = torch.zeros(1, 128, dtype=torch.bfloat16, device=DEVICE)
    x[0, 5] = 2.0**-10
    assert_close(multiply(x, matrix(codes), None, Tiling()), x.float() @ codes.dequantize().T, x.dtype)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    codes = make_codes(Variant(4, 128), 40, 512)
    x = random(18, 512, dtype=torch.float16)
    together = multiply(x, matrix(codes), None, Tiling(parts=2))
    for row in (0, 15, 17):
        assert torch.equal(multiply(x[row : row + 1], matrix(codes), None, Tiling(parts=2))[0], together[row])


@pytest.mark.parametrize("variant", ["int4-g128", "int4-g32-asym", "int8-channel", "int8-g64-asym"])
def test_unpacked_rows_are_those_of_the_dequantized_matrix_to_the_bit(variant: str) -> None:
    codes = make_codes(Variant.parse(variant), 35, 256)
    right = codes.dequantize().half()
    assert torch.equal(unpack_rows(matrix(codes), None, torch.float16), right)
    indices = torch.tensor([34, 0, 7, 7], device=DEVICE)
    assert torch.equal(unpack_rows(matrix(codes), indices, torch.float16), right[indices])


def test_few_and_many_rows_and_an_embedding_through_the_kernel() -> None:
    codes = make_codes(Variant(4, 64), 48, 256)
    kernel = CudaWeight(codes, torch.float16)
    assert kernel.nbytes == Variant(4, 64).nbytes(48, 256)
    for rows in (1, 64, 65):
        x, residual = random(rows, 256, dtype=torch.float16), random(1, rows, 48, dtype=torch.float16)
        right = x.float() @ codes.dequantize().T + residual.float()
        assert_close(kernel.matmul(x[None], residual), right, torch.float16)
    assert kernel.matmul(random(0, 256, dtype=torch.float16)).shape == (0, 48)
    indices = torch.tensor([[3, 40]], device=DEVICE)
    assert torch.equal(kernel.rows(indices), codes.dequantize().half()[indices])


def test_it_refuses_what_it_cannot_multiply() -> None:
    variant, cuda = Variant(4, 128), torch.device("cuda")
    assert Cuda.refusal(variant, (8, 128), torch.float16, cuda) is None
    assert "not in float32" in str(Cuda.refusal(variant, (8, 128), torch.float32, cuda))
    assert "not on cpu" in str(Cuda.refusal(variant, (8, 128), torch.float16, torch.device("cpu")))


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("n, length, capacity", [(1, 0, 64), (1, 130, 200), (5, 62, 128), (16, 70, 96), (18, 0, 32)])
def test_new_rows_see_the_cache_up_to_themselves(n: int, length: int, capacity: int, dtype: torch.dtype) -> None:
    q, cache = random(6, n, 64, dtype=dtype), random(2, 2, capacity, 64, dtype=dtype, seed=1)
    cache[:, :, length + n :] = torch.nan  # nobody may look there
    found = attention.attend(q, *cache, torch.tensor(length, device=DEVICE))
    k, v = (x[:, : length + n].repeat_interleave(3, 0).float() for x in cache)
    visible = torch.ones(n, length + n, dtype=torch.bool, device=DEVICE).tril(length)
    right = F.scaled_dot_product_attention(q.float()[None], k[None], v[None], attn_mask=visible)[0]
    assert_close(found, right.transpose(0, 1), dtype)


def test_attention_does_not_depend_on_room_that_is_not_used() -> None:
    q, cache = random(6, 2, 64, dtype=torch.float16), random(2, 2, 300, 64, dtype=torch.float16)
    length = torch.tensor(100, device=DEVICE)
    small = cache[:, :, :120].contiguous()
    assert torch.equal(attention.attend(q, *cache, length), attention.attend(q, *small, length))


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_what_lies_between_products(dtype: torch.dtype) -> None:
    x, weight = random(3, 192, dtype=dtype), random(192, dtype=dtype, seed=1)
    assert_close(elementwise.rms_norm(x, weight, 1e-6), operations.rms_norm(x, weight, 1e-6), dtype)
    assert_close(elementwise.swiglu(x), operations.swiglu(x), dtype)
    rows = random(4, 5 * 64, dtype=dtype).view(4, 5, 64).transpose(0, 1)
    cos, sin = random(4, 64, dtype=dtype, seed=2), random(4, 64, dtype=dtype, seed=3)
    assert_close(elementwise.rotate(rows, cos, sin), operations.rotate(rows, cos, sin), dtype)


def test_new_keys_and_values_are_stored_behind_what_is_filled() -> None:
    kv = torch.zeros(2, 2, 12, 64, dtype=torch.float16, device=DEVICE)
    k, v = random(2, 3, 64, dtype=torch.float16), random(3, 2, 64, dtype=torch.float16, seed=1).transpose(0, 1)
    elementwise.store(k, v, kv, torch.tensor(7, device=DEVICE))
    assert torch.equal(kv[0, :, 7:10], k) and torch.equal(kv[1, :, 7:10], v)
    assert not kv[:, :, :7].any() and not kv[:, :, 10:].any()
