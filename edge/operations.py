"""What lies between the products of a language model's layer.

In plain PyTorch, which every device and the training of models take, and in one launch each on a CUDA device that has
Triton: a token's time there is mostly the number of launches. A CPU for which programs can be made takes some so, too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.kernels import triton
from edge.kernels.jit import rows


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Scale x (..., width) to unit mean square, computed in at least float32: bfloat16 squares lose what matters."""
    if is_fused(x):
        from edge.kernels.triton import elementwise

        return elementwise.rms_norm(x.contiguous(), weight, eps)
    if rows.can_norm(x, weight):
        return rows.rms_norm(x, weight, eps)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


def swiglu(x: Tensor) -> Tensor:
    """Gates (..., width) and what they let through, side by side in x (..., 2 * width), to (..., width)."""
    if is_fused(x):
        from edge.kernels.triton import elementwise

        return elementwise.swiglu(x.contiguous())
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (d, d + head_dim/2) of x (..., n, head_dim) by angles (n, head_dim), or such as fit x."""
    if is_fused(x) and x.ndim == 4 and len(x) == 1 and cos.ndim == 2 and cos.dtype == x.dtype:
        from edge.kernels.triton import elementwise

        return elementwise.rotate(x[0], cos.contiguous(), sin.contiguous())[None]
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def is_fused(x: Tensor) -> bool:
    """Programs of Triton know no gradients, and sixteen bits alone."""
    return x.is_cuda and x.itemsize == 2 and torch.is_inference_mode_enabled() and triton.is_installed()
