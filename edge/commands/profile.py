"""`edge profile`: from a model's name to what it costs on this device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import edge
from edge.engine.engine import Engine
from edge.errors import ModelNotFound, ReportUnreadable
from edge.hub import find_model
from edge.loading import RANDOM
from edge.models.costs import Weights
from edge.models.qwen2_vl.config import Config, parse_config, read_config
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.qwen2_vl.shapes import published_config
from edge.models.random import random_plan
from edge.planning.memory_budget import OVERHEAD, RETAINED, predict_memory
from edge.profiling.memory_usage import free
from edge.profiling.pipeline_steps import ProfileSettings
from edge.profiling.profile import SCHEMA, ProfileTarget
from edge.runners.pytorch import choose_device, choose_dtype, compute_dtype
from quantize.checkpoint import Checkpoint


def make_target(model: str, variant: str | None, device: str, dtype: str) -> ProfileTarget:
    """Reads headers, no weights. `variant` is for random weights only. Raises ModelError, QuantizeError."""
    chosen = choose_device(device)
    if model.startswith(RANDOM):
        shape, stored = model.removeprefix(RANDOM), variant or "bfloat16"
        config = parse_config(published_config(shape))
        plan = random_plan(stored, config.tie_word_embeddings)
        computed = choose_dtype((stored if plan is None else "bfloat16") if dtype == "auto" else dtype, chosen)
        costs = Qwen2VLCosts(config, Weights.planned(config, plan, computed), computed.itemsize)

        def make() -> Engine:
            return edge.random_model(shape, variant=stored, device=device, dtype=dtype)

        return ProfileTarget(model, str(computed) if plan is None else stored, variant, chosen, costs, make)
    if variant is not None:
        raise ModelNotFound(
            f"--variant {variant} is for random weights; {model} is what it is. Make one with `edge quantize`."
        )
    folder = find_model(model)
    config = read_config(folder)
    computed = choose_dtype(compute_dtype(config, chosen) if dtype == "auto" else dtype, chosen)
    costs = Qwen2VLCosts(config, _stored(folder, config, computed), computed.itemsize)
    stored = str(computed) if config.quantization is None else "int"
    return ProfileTarget(model, stored, None, chosen, costs, lambda: edge.load(model, device=device, dtype=dtype))


def _stored(folder: Path, config: Config, dtype: torch.dtype) -> Weights:
    """As the folder's files have them; floating-point ones as they will be computed with."""
    checkpoint = Checkpoint(folder)
    if config.quantization is None:
        return Weights.planned(config, None, dtype)
    return Weights.stored(config, checkpoint.stored, dtype)


def check_fit(target: ProfileTarget, settings: ProfileSettings) -> None:
    """Before anything is loaded. Raises DoesNotFit."""
    side = int(settings.max_pixels**0.5) // 28 * 28 or 28
    kind = target.device.type
    memory = predict_memory(target.costs, (side, side), settings.window, OVERHEAD[kind], retained=RETAINED[kind])
    memory.check(free(target.device), target.name)


def read_report(path: Path) -> dict[str, Any]:
    """A report that `edge profile --json` printed. Raises ReportUnreadable."""
    try:
        report: dict[str, Any] = json.loads(path.read_text().strip().rpartition("\n")[2])
    except (OSError, ValueError) as error:
        raise ReportUnreadable(f"{path} is no report of `edge profile --json`: {error}.") from None
    if not isinstance(report, dict) or report.get("kind") != "profile" or report.get("schema") != SCHEMA:
        raise ReportUnreadable(f"{path} is no report of `edge profile --json`, or one of another version.")
    return report
