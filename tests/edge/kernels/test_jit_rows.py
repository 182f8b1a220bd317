"""What lies between the products, made for this processor: as plain PyTorch has it, but for bfloat16's last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from edge import operations
from edge.kernels.jit import machine_code, rows

pytestmark = pytest.mark.skipif(bool(machine_code.refusal()), reason=f"this processor {machine_code.refusal()}")
EPS = 1e-6


def make(count: int, width: int, size: float, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = size * torch.randn(count, width, generator=generator)
    x[:, seed % width] *= 1000
    return x.bfloat16(), (1 + 0.2 * torch.randn(width, generator=generator)).bfloat16()


@given(
    count=st.integers(1, 30), blocks=st.integers(1, 100), size=st.sampled_from([0.0, 1e-8, 1.0, 1e4]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_norm_is_the_plain_one_and_no_row_depends_on_another(count: int, blocks: int, size: float, seed: int) -> None:
    x, weight = make(count, 16 * blocks, size, seed)
    plain = operations.rms_norm(x, weight, EPS)  # outside of inference mode
    with torch.inference_mode():
        found = operations.rms_norm(x, weight, EPS)
        last = operations.rms_norm(x[-1:], weight, EPS)
    # Sums in another order: the factor may differ in its last bit, and with it what is rounded, twice.
    assert ((found.float() - plain.float()).abs() <= 2**-6 * plain.float().abs()).all()
    assert torch.equal(found[-1:], last)


def test_shapes_are_kept_and_others_go_the_plain_way() -> None:
    x, weight = make(6, 64, 1.0, 0)
    with torch.inference_mode():
        flat = operations.rms_norm(x, weight, EPS)
        assert torch.equal(operations.rms_norm(x.view(2, 3, 64), weight, EPS), flat.view(2, 3, 64))
        assert not rows.can_norm(x.float(), weight) and not rows.can_norm(x[:, :60], weight[:60])
        strided = torch.cat([x, x], dim=1)[:, :64]
        assert torch.equal(operations.rms_norm(strided, weight, EPS), flat)
        assert not rows.can_norm(x.to("meta"), weight)
        with FakeTensorMode() as shapes:
            assert not rows.can_norm(shapes.from_tensor(x), weight)
    assert not rows.can_norm(x, weight)  # training wants gradients
