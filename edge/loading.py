"""Puts an engine together: a model's folder, a runner for it, its tokenizer, its habits."""

from __future__ import annotations

import pkgutil

from edge.engine.engine import Engine
from edge.engine.limits import Limits
from edge.engine.tokenizer import Tokenizer
from edge.hub import find_model
from edge.runners import RUNNERS


def load_engine(model: str, *, device: str, dtype: str, runner: str) -> Engine:
    """See `edge.load`."""
    folder = find_model(model)
    tokenizer, limits = Tokenizer.load(folder), Limits.load(folder)  # first: quick to read, quick to fail
    runner_class = pkgutil.resolve_name(RUNNERS.get(runner, runner))
    return Engine(runner_class.load(folder, device=device, dtype=dtype), tokenizer, name=model, limits=limits)
