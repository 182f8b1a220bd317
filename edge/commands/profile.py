"""`edge profile`: from a model's name to what it costs on this device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.errors import ModelNotFound, ReportUnreadable
from edge.hub import find_model
from edge.loading import RANDOM, load_engine, random_engine
from edge.planning.memory_budget import OVERHEAD, RETAINED, predict_memory
from edge.profiling.memory_usage import free
from edge.profiling.pipeline_steps import ProfileSettings
from edge.profiling.profile import SCHEMA, ProfileTarget
from edge.runners import find_runner


def make_target(
    model: str, variant: str | None, device: str, dtype: str, runner: str = "pytorch", *, elsewhere: bool = False
) -> ProfileTarget:
    """Reads headers, no weights. `variant` is for random weights only; `elsewhere` as for `RunnerClass.preview`. Raises
    ModelError, QuantizeError."""
    kind = find_runner(runner)
    if model.startswith(RANDOM):
        shape, stored = model.removeprefix(RANDOM), variant or "bfloat16"
        return ProfileTarget.of(
            model,
            variant,
            kind.preview_random(shape, stored, device, dtype, elsewhere=elsewhere),
            lambda: random_engine(shape, stored, device=device, dtype=dtype, runner=runner),
        )
    if variant is not None:
        raise ModelNotFound(
            f"--variant {variant} is for random weights; {model} is what it is. Make one with `edge quantize`."
        )
    preview = kind.preview(find_model(model), device, dtype, elsewhere=elsewhere)
    return ProfileTarget.of(model, None, preview, lambda: load_engine(model, device=device, dtype=dtype, runner=runner))


def check_fit(target: ProfileTarget, settings: ProfileSettings) -> None:
    """Before anything is loaded. Raises DoesNotFit."""
    cell = target.costs.cell
    side = int(settings.max_pixels**0.5) // cell * cell or cell
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
