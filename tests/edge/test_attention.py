"""Attention of a vision tower: plain products of a few heads against the definition in float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edge.attention import LONG, full_attention


@pytest.fixture(autouse=True, scope="module")
def multiplied() -> Iterator[None]:
    """Also where a processor has nothing for bfloat16, the way of those that have is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        yield


def make(groups: int, heads: int, n: int, dim: int, seed: int = 0, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    numbers = size * torch.randn(3, groups, heads, n, dim, generator=torch.Generator().manual_seed(seed))
    q, k, v = numbers.bfloat16()
    return q, k, v


@given(
    groups=st.integers(1, 3), heads=st.integers(1, 5), n=st.integers(LONG - 2, LONG + 60),
    dim=st.sampled_from([16, 80]),
    size=st.sampled_from([0.1, 1.0, 30.0]),
)  # fmt: skip
@settings(max_examples=25)
def test_it_is_the_definition_and_nobody_depends_on_a_neighbour(
    groups: int, heads: int, n: int, dim: int, size: float
) -> None:
    q, k, v = make(groups, heads, n, dim, size=size)
    found = full_attention(q, k, v)
    sums = q.double() @ k.double().mT * dim**-0.5
    right = sums.softmax(-1) @ v.double()
    # Sums and shares are rounded to bfloat16: a sum by 2^-9 of itself, and with it the share; a share by 2^-9.
    off = (2**-8 * sums.abs().amax(-1, keepdim=True) + 2**-7) * v.abs().double().amax()
    assert found.dtype == q.dtype and found.shape == q.shape
    assert ((found.double() - right).abs() <= off).all()
    assert torch.equal(found[-1:], full_attention(q[-1:], k[-1:], v[-1:]))


@pytest.mark.parametrize("n, dtype", [(LONG - 1, torch.bfloat16), (LONG, torch.float32)])
def test_elsewhere_it_is_pytorchs_own(n: int, dtype: torch.dtype) -> None:
    q, k, v = (x.to(dtype) for x in make(2, 2, n, 16))
    assert torch.equal(full_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_without_bfloat16_products_it_is_pytorchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    q, k, v = make(1, 2, LONG + 3, 16)
    assert torch.equal(full_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_layouts_of_memory_do_not_matter() -> None:
    """Queries, keys and values as they lie behind one fused projection."""
    q, k, v = torch.randn(2, LONG, 3, 4, 16).bfloat16().permute(2, 0, 3, 1, 4)
    assert torch.equal(full_attention(q, k, v), full_attention(q.contiguous(), k.contiguous(), v.contiguous()))
