"""What is gathered is the mean it says it is, whatever the portions it came in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantize.statistics import HessianAccumulator, VisionMask


def gathered(*portions: tuple[torch.Tensor, VisionMask], width: int = 6) -> HessianAccumulator:
    accumulator = HessianAccumulator(width)
    for x, vision in portions:
        accumulator.add(x, vision)
    return accumulator


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 10**6))
def test_pictures_and_words_weigh_the_same_however_many_there_are(words: int, pictures: int, seed: int) -> None:
    x = torch.randn(words + pictures, 6, generator=torch.Generator().manual_seed(seed))
    vision = np.arange(words + pictures) >= words
    statistics = gathered((x, vision)).statistics()
    means = [rows.T @ rows / len(rows) for rows in (x[~vision], x[vision]) if len(rows)]
    assert torch.allclose(statistics.hessian, torch.stack(means).mean(0), atol=1e-5)
    sizes = [rows.abs().mean(0) for rows in (x[~vision], x[vision]) if len(rows)]
    assert torch.allclose(statistics.magnitude, torch.stack(sizes).mean(0), atol=1e-5)
    assert statistics.num_rows == words + pictures


def test_the_portions_do_not_matter() -> None:
    x, vision = torch.randn(30, 6), np.arange(30) % 3 == 0
    whole = gathered((x, vision)).statistics()
    parts = gathered((x[:7], vision[:7]), (x[7:8], vision[7:8]), (x[8:], vision[8:])).statistics()
    assert torch.allclose(whole.hessian, parts.hessian, atol=1e-5)


def test_the_hessian_tells_the_error_of_the_output() -> None:
    x = torch.randn(50, 6)
    error = torch.randn(4, 6)
    statistics = gathered((x, np.zeros(50, dtype=bool))).statistics()
    direct = ((x @ error.T) ** 2).sum(-1).mean()
    assert torch.allclose(torch.trace(error @ statistics.hessian @ error.T), direct, rtol=1e-4)


def test_nothing_seen_is_no_statistics() -> None:
    with pytest.raises(ValueError, match="no row"):
        HessianAccumulator(6).statistics()
