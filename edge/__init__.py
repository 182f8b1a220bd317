"""The device: runs a Qwen2-VL and serves it.

import edge
model = edge.load("Qwen/Qwen2-VL-2B-Instruct")
for piece in model.chat([{"role": "user", "content": [{"type": "image", "image": "cat.jpg"}]}]):
    print(piece, end="")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge import threads

if TYPE_CHECKING:
    from edge.api import Model

__all__ = ["load", "random_model"]


def load(model: str = "pocket", *, device: str = "auto", dtype: str = "auto", runner: str = "pytorch") -> Model:
    """The model of "pocket", of a model folder, or of a hub repository, ready to answer; or of "random:2b".

    `device` is "auto", "cpu" or "cuda"; `dtype` "auto" (as the checkpoint says), "float32", "bfloat16"
    or "float16"; `runner` a name in `edge.runners.RUNNERS` or "package.module:Class".
    Raises ModelNotFound, ModelUnreadable, WrongArchitecture.
    """
    from edge.api import Model

    threads.configure()
    from edge.loading import load_engine  # torch is imported when a model is wanted, not before

    return Model(load_engine(model, device=device, dtype=dtype, runner=runner))


def random_model(
    shape: str = "2b",
    *,
    variant: str = "bfloat16",
    device: str = "auto",
    dtype: str = "auto",
    runner: str = "pytorch",
    seed: int = 0,
) -> Model:
    """A model of the published shape "2b" or "7b" (or "pocket") with random weights, made on the device in seconds:
    as fast and as large as the real one, and with nothing to say.

    `variant` is "bfloat16", "float16", "float32", "int4", "int8", or spelled out like "int4-g32".
    Raises ModelNotFound, BadVariant, DeviceUnusable.
    """
    from edge.api import Model

    threads.configure()
    from edge.loading import random_engine

    return Model(random_engine(shape, variant, device=device, dtype=dtype, runner=runner, seed=seed))
