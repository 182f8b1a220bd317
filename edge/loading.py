"""Puts an engine together: a model's folder, or weights made up on the spot; a runner; its tokenizer; its habits."""

from __future__ import annotations

from edge.engine.engine import Engine
from edge.engine.tokenizer import Tokenizer
from edge.hub import POCKET, find_model
from edge.media.limits import Limits
from edge.runners import find_runner

RANDOM = "random:"  # and a shape, in the place of a model's name


def load_engine(model: str, *, device: str, dtype: str, runner: str) -> Engine:
    """See `edge.load`."""
    if model.startswith(RANDOM):
        return random_engine(model.removeprefix(RANDOM), "bfloat16", device=device, dtype=dtype, runner=runner)
    folder = find_model(model)
    loaded = find_runner(runner).load(folder, device=device, dtype=dtype)
    return Engine(loaded, Tokenizer.load(folder), name=model, limits=Limits.load(folder))


def random_engine(shape: str, variant: str, *, device: str, dtype: str, runner: str, seed: int = 0) -> Engine:
    """See `edge.random_model`."""
    made = find_runner(runner).random(shape, variant, device=device, dtype=dtype, seed=seed)
    limits = Limits.load(POCKET) if shape == "pocket" else Limits()
    return Engine(made, Tokenizer.load(POCKET), name=f"{RANDOM}{shape}", limits=limits)
