"""Numbers that are none are found wherever they are, in the memory of a small part of the tensor."""

from __future__ import annotations

import pytest
import torch

from quantize import quantized_weight
from quantize.errors import NotFinite
from quantize.quantized_weight import check_finite


@pytest.mark.parametrize("portion", [1, 7, 24, 1000])
def test_numbers_that_are_not_finite_are_counted_and_the_first_is_named(
    portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantized_weight, "PORTION", portion)
    weight = torch.ones(2, 3, 4)
    check_finite("layer", weight)
    weight[1, 2, 3], weight[1, 0, 1], weight[1, 1, 0] = torch.nan, -torch.inf, torch.inf
    with pytest.raises(NotFinite, match=r"layer holds 3 numbers .* the first -inf at \(1, 0, 1\)"):
        check_finite("layer", weight)


@pytest.mark.parametrize("shape", [(), (0,), (0, 4)])
def test_a_tensor_of_any_shape_can_be_looked_at(shape: tuple[int, ...]) -> None:
    check_finite("layer", torch.zeros(shape))
