"""A cache whose length lives on the device holds and shows the same as one whose length is the host's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edge.attention import additive_mask, attention_over, grouped_attention
from edge.cache import KVCache, StaticKVCache

LAYERS, KV_HEADS, HEADS, DIM, CAPACITY = 2, 2, 6, 8, 24
SHAPE = (LAYERS, KV_HEADS, DIM)


def cache(kind: type[KVCache] = KVCache, capacity: int = CAPACITY) -> KVCache:
    return kind(SHAPE, capacity, torch.float64, "cpu")


def rows(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(seed)

    def random(heads: int) -> Tensor:
        return torch.randn(1, heads, n, DIM, dtype=torch.float64, generator=numbers)

    return random(HEADS), random(KV_HEADS), random(KV_HEADS)


def extend(caches: list[KVCache], counts: list[int], seed: int) -> Tensor:
    q, k, v = rows(sum(counts), seed)
    sequences = list(zip(caches, counts, strict=True))
    attend = attention_over(sequences, HEADS)
    out = torch.stack([attend(layer, q, k, v) for layer in range(LAYERS)])
    for each, n in sequences:
        each.advance(n)
    return out


def test_grouped_attention_is_that_of_pytorch() -> None:
    q, k, v = (x[0] for x in rows(5, 0))
    expected = F.scaled_dot_product_attention(q[None], k[None], v[None], enable_gqa=True)[0]
    assert torch.allclose(grouped_attention(q, k, v, None), expected, atol=1e-12)


def test_a_large_mask_is_not_repeated_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (x[0] for x in rows(5, 0))
    visible = torch.ones(5, 5, dtype=torch.bool).tril()
    small = additive_mask(visible, HEADS // KV_HEADS, torch.float64)
    monkeypatch.setattr("edge.attention.STACKED", 1)
    large = additive_mask(visible, HEADS // KV_HEADS, torch.float64)

    assert (len(small), len(large)) == (5 * HEADS // KV_HEADS, 5)
    expected = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)[0]
    for mask in (small, large):
        assert torch.allclose(grouped_attention(q, k, v, mask), expected, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=6))
def test_both_kinds_agree_whatever_is_appended_and_cropped(steps: list[tuple[int, int]]) -> None:
    plain, static = cache(), cache(StaticKVCache)
    for seed, (count, forgotten) in enumerate(steps):
        if plain.length + count > CAPACITY:
            break
        a, b = extend([plain], [count], seed), extend([static], [count], seed)
        assert torch.allclose(a, b, atol=1e-12)
        for each in (plain, static):
            each.crop(max(0, each.length - forgotten))
        assert plain.length == static.length == int(static.filled)
        assert torch.equal(plain.kv[..., : plain.length, :], static.kv[..., : static.length, :])


@pytest.mark.parametrize("kind", [KVCache, StaticKVCache])
def test_new_rows_see_all_before_them_and_none_after(kind: type[KVCache]) -> None:
    whole, apart = cache(kind), cache(kind)
    together = extend([whole], [4], seed=1)
    q, k, v = rows(4, seed=1)
    for n in range(4):
        attend = attention_over([(apart, 1)], HEADS)
        one = torch.stack([attend(layer, *(x[:, :, n : n + 1] for x in (q, k, v))) for layer in range(LAYERS)])
        apart.advance(1)
        assert torch.allclose(one[:, :, :, 0], together[:, :, :, n], atol=1e-12)


@pytest.mark.parametrize("kind", [KVCache, StaticKVCache])
def test_sequences_of_one_pass_do_not_see_each_other(kind: type[KVCache]) -> None:
    alone, first, second = cache(kind), cache(kind), cache(kind)
    extend([alone], [3], seed=5)
    extend([first], [3], seed=5)
    extend([second], [7], seed=6)
    q, k, v = rows(3, seed=7)
    expected = attention_over([(alone, 2)], HEADS)(0, *(x[:, :, :2] for x in (q, k, v)))
    found = attention_over([(first, 2), (second, 1)], HEADS)(0, q, k, v)
    assert torch.equal(found[:, :, :2], expected)


def test_a_copy_is_independent() -> None:
    for kind in (KVCache, StaticKVCache):
        one = cache(kind)
        extend([one], [5], seed=1)
        twin = one.copy()
        assert type(twin) is kind and twin.length == 5
        extend([twin], [2], seed=2)
        assert one.length == 5 and not torch.equal(one.kv[..., 5:7, :], twin.kv[..., 5:7, :])
        with pytest.raises(ValueError, match="crop"):
            one.crop(6)


def test_a_step_over_a_static_cache_does_not_depend_on_its_length_in_any_shape() -> None:
    """What a captured graph needs: the same operations on tensors of the same shape, at every length."""
    static, shapes = cache(StaticKVCache), set()
    for seed in range(4):
        view = static.view(2, HEADS)
        shapes.add((tuple(view.mask.shape), tuple(view.rows.shape)))  # type: ignore[attr-defined]
        extend([static], [2], seed)
    assert len(shapes) == 1
