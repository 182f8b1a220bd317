"""What lies between the products, in one program each: what `edge.operations` calls for rows of bfloat16 on a CPU."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from edge.kernels.jit import machine_code, norms, team

ALONE = 8  # rows that one thread takes sooner than it could call the others


def can_norm(x: Tensor, weight: Tensor) -> bool:
    """Only of what has memory: tensors of shapes alone ("meta", or fake ones) have no address."""
    is_ours = x.dtype == weight.dtype == torch.bfloat16 and x.shape[-1] % norms.WIDTH == 0
    is_real = x.device.type == weight.device.type == "cpu" and type(x) is Tensor
    return is_ours and is_real and torch.is_inference_mode_enabled() and _is_possible()


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x (..., width) and weight (width); see `norms.rms_norm`."""
    x = x.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    rows = x.numel() // width if width else 0
    program, call = _norm()
    arguments = (x.data_ptr(), weight.data_ptr(), out.data_ptr(), _address_of(eps), rows, width)
    if rows <= ALONE:
        call((ctypes.c_int64 * len(arguments))(*arguments))
    else:
        team.run(program, arguments)
    return out


@cache
def _is_possible() -> bool:
    return machine_code.refusal() is None


@cache
def _norm() -> tuple[int, team.Program]:
    program = machine_code.compiled(norms.rms_norm())
    return program, team.alone(program)


_kept: dict[float, ctypes.c_float] = {}


def _address_of(number: float) -> int:
    """Of a float32 that stays where it is."""
    return ctypes.addressof(_kept.setdefault(number, ctypes.c_float(number)))
