"""`edge profile`: from a model's name to what it costs on this device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.errors import ModelNotFound, ReportUnreadable
from edge.hub import find_model
from edge.loading import RANDOM, load_engine, random_engine
from edge.planning.memory_budget import KEPT, OVERHEAD, predict_memory
from edge.profiling.life import ProfileSettings
from edge.profiling.memory_usage import free
from edge.profiling.profile import SCHEMA, Subject
from edge.runners import find_runner


def make_subject(model: str, variant: str | None, device: str, dtype: str, runner: str = "pytorch") -> Subject:
    """Reads headers, no weights. `variant` is for random weights only. Raises ModelError, QuantizeError."""
    kind = find_runner(runner)
    if model.startswith(RANDOM):
        shape, stored = model.removeprefix(RANDOM), variant or "bfloat16"
        return Subject.of(
            model,
            variant,
            kind.preview_random(shape, stored, device, dtype),
            lambda: random_engine(shape, stored, device=device, dtype=dtype, runner=runner),
        )
    if variant is not None:
        raise ModelNotFound(
            f"--variant {variant} is for random weights; {model} is what it is. Make one with `edge quantize`."
        )
    preview = kind.preview(find_model(model), device, dtype)
    return Subject.of(model, None, preview, lambda: load_engine(model, device=device, dtype=dtype, runner=runner))


def check_fit(subject: Subject, workload: ProfileSettings) -> None:
    """Before anything is loaded. Raises DoesNotFit."""
    side = int(workload.max_pixels**0.5) // 28 * 28 or 28
    kind = subject.device.type
    memory = predict_memory(subject.costs, (side, side), workload.window, OVERHEAD[kind], kept=KEPT[kind])
    memory.check(free(subject.device), subject.name)


def read_report(path: Path) -> dict[str, Any]:
    """A report that `edge profile --json` printed. Raises ReportUnreadable."""
    try:
        report: dict[str, Any] = json.loads(path.read_text().strip().rpartition("\n")[2])
    except (OSError, ValueError) as error:
        raise ReportUnreadable(f"{path} is no report of `edge profile --json`: {error}.") from None
    if not isinstance(report, dict) or report.get("kind") != "profile" or report.get("schema") != SCHEMA:
        raise ReportUnreadable(f"{path} is no report of `edge profile --json`, or one of another version.")
    return report
