"""Which device and which type of numbers the PyTorch runner takes."""

from __future__ import annotations

import torch

from edge.errors import DeviceUnusable, ModelUnreadable
from edge.models.architecture import Config


def choose_device(name: str) -> torch.device:
    """Raises DeviceUnusable."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise DeviceUnusable(
            f"the device {name!r} cannot be used: {reason} Choose --device cpu, cuda or auto."
        ) from None
    return device


def compute_dtype(config: Config, device: torch.device) -> str:
    """As the checkpoint says; but official INT4 checkpoints say float16, and on a CPU that has bfloat16 products their
    kernels are many times faster in that than in what float16 would be widened to."""
    is_widened = config.quantization is not None and config.dtype == "float16" and device.type == "cpu"
    return "bfloat16" if is_widened and torch.cpu._is_avx512_bf16_supported() else config.dtype


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """What to compute in: as the checkpoint says, but float16 on a CPU is widened, since it is emulated there."""
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelUnreadable(f"{name!r} is no number type to compute in. Use float32, bfloat16 or float16.")
    if device.type == "cpu" and dtype == torch.float16:
        return torch.float32
    return dtype
