"""Which device and which type of numbers the PyTorch runner takes."""

from __future__ import annotations

import torch

from edge.errors import DeviceUnusable, ModelUnreadable, UnknownDtype
from edge.models.architecture import Config

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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


def choose_dtype(asked: str, config: Config, device: torch.device) -> torch.dtype:
    """What was asked for; for "auto" as the config says. Raises UnknownDtype, ModelUnreadable."""
    if asked != "auto":
        return asked_dtype(asked, device)
    stored = config.dtype.removeprefix("torch.")
    if stored not in DTYPES:
        raise ModelUnreadable(
            f"the model's config says {stored!r}, which is no number type to compute in. "
            f"Say which to take: {', '.join(DTYPES)}."
        )
    if stored == "float16" and config.quantization is not None and device.type == "cpu":
        # Official INT4 checkpoints say so; on a CPU that has bfloat16 products their kernels are many times faster in
        # that than in what float16 would be widened to.
        stored = "bfloat16" if torch.cpu._is_avx512_bf16_supported() else stored
    return asked_dtype(stored, device)


def asked_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type of that name; but float16 on a CPU is widened to float32, since it is emulated there. Raises
    UnknownDtype."""
    if name not in DTYPES:
        raise UnknownDtype(f"{name!r} is no number type to compute in. Choose auto, {', '.join(DTYPES)}.")
    dtype = DTYPES[name]
    return torch.float32 if device.type == "cpu" and dtype == torch.float16 else dtype
