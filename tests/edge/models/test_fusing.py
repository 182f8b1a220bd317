"""Projections of one input become one while loading: the same numbers, in fewer products."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge.hub import POCKET
from edge.kernels import choose
from edge.models.architecture import parameter_shapes, read_config
from edge.models.fusing import QuantizedLayer, WaitingRoom, fuse_plain, join, separate
from edge.models.weights import load_model
from quantize.methods.rtn import rtn
from quantize.variant import Variant

FUSED = {"both": ("one", "other")}
CPU = torch.device("cpu")


def layer(rows: int, variant: Variant, *, bias: bool = False, seed: int = 0) -> QuantizedLayer:
    numbers = torch.Generator().manual_seed(seed)
    weight = rtn(torch.randn(rows, 64, generator=numbers), variant)
    return QuantizedLayer(weight, torch.randn(rows, generator=numbers) if bias else None)


def test_parts_wait_until_all_have_come_and_then_are_one() -> None:
    room, one, other = WaitingRoom(FUSED), layer(4, Variant(4, 32)), layer(6, Variant(4, 32), seed=1)
    assert room.add("block.other", other) == {}
    assert set(room.rest()) == {"block.other"}
    (placed,) = room.add("block.one", one).items()
    assert placed[0] == "block.both"
    expected = torch.cat([one.weight.dequantize(), other.weight.dequantize()])
    assert torch.equal(placed[1].weight.dequantize(), expected)  # in the order of rows, not of coming
    assert room.rest() == {}


def test_a_layer_that_is_fused_with_none_is_placed_at_once() -> None:
    alone = layer(4, Variant(8, None))
    assert WaitingRoom(FUSED).add("block.third", alone) == {"block.third": alone}


@pytest.mark.parametrize(
    "other",
    [layer(4, Variant(8, 32)), layer(4, Variant(4, 64)), layer(4, Variant(4, 32), bias=True)],
    ids=["bits", "groups", "a bias on one side"],
)
def test_parts_that_are_stored_differently_stay_apart(other: QuantizedLayer) -> None:
    room, one = WaitingRoom(FUSED), layer(4, Variant(4, 32))
    room.add("block.one", one)
    assert room.add("block.other", other) == {"block.one": one, "block.other": other}


def test_a_symmetric_part_joins_one_with_zeros_of_its_own() -> None:
    parts = [layer(4, Variant(4, 32), bias=True), layer(4, Variant(4, 32, symmetric=False), bias=True, seed=1)]
    joined = join(parts)
    assert joined is not None and joined.bias is not None and not joined.weight.variant.symmetric
    assert torch.equal(joined.weight.dequantize(), torch.cat([part.weight.dequantize() for part in parts]))


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_the_product_is_that_of_the_parts(rows: int) -> None:
    """On the kernels that work row by row, to the bit."""
    parts = [layer(64, Variant(4, 32)), layer(128, Variant(4, 32), seed=1)]
    joined = join(parts)
    assert joined is not None
    x = torch.randn(rows, 64, generator=torch.Generator().manual_seed(2)).bfloat16()
    kernels = []
    for each in [joined, *parts]:
        choice = choose("auto", each.weight.variant, each.weight.shape, torch.bfloat16, CPU)
        kernels.append(choice.maker.prepare(each.weight, torch.bfloat16))
    whole, *halves = (kernel.matmul(x) for kernel in kernels)
    assert torch.allclose(whole, torch.cat(halves, dim=1), rtol=2**-7, atol=2**-7)
    if rows == 1:
        assert torch.equal(whole, torch.cat(halves, dim=1))


def test_plain_parts_become_one_layer_with_their_biases() -> None:
    module = nn.Module()
    module.one, module.other = nn.Linear(5, 2), nn.Linear(5, 3)
    x, expected = torch.randn(4, 5), None
    expected = torch.cat([module.one(x), module.other(x)], dim=1)
    fuse_plain(module, FUSED)
    assert module.one is None and module.other is None
    assert torch.allclose(module.both(x), expected, atol=1e-6)


def test_a_loaded_model_has_every_tensor_of_its_file_under_the_files_names() -> None:
    config = read_config(POCKET)
    fused = load_model(POCKET, config, torch.float32, CPU)
    apart = load_model(POCKET, config, torch.float32, CPU, fuse=False)
    found = separate(dict(fused.named_parameters()), parameter_shapes(config), fused.fused)
    expected = dict(apart.named_parameters())
    assert any("qkv_proj" in name for name, _ in fused.named_parameters())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
