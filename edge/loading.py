"""Puts an engine together: a model's folder, a runner for it, its tokenizer, its habits."""

from __future__ import annotations

import pkgutil

from edge.engine.engine import Engine
from edge.engine.tokenizer import Tokenizer
from edge.hub import find_model
from edge.media.limits import Limits
from edge.runners import RUNNERS


def load_engine(model: str, *, device: str, dtype: str, runner: str) -> Engine:
    """See `edge.load`."""
    folder = find_model(model)
    runner_class = pkgutil.resolve_name(RUNNERS.get(runner, runner))
    loaded = runner_class.load(folder, device=device, dtype=dtype)
    return Engine(loaded, Tokenizer.load(folder), name=model, limits=Limits.load(folder))
