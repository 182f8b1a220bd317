"""The plain values of a profile's report, worked out from spans, ceilings and memory over time.

Times in seconds, memory in bytes, rates per second. Measures nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edge.planning.memory_budget import MemoryBudget
from edge.profiling.ceilings import Ceilings
from edge.profiling.memory_usage import MemoryTimeline, gpu_overheads, total
from edge.profiling.spans import Span, Spans, Stage
from edge.profiling.timed import TOKEN
from edge.runners import Facts


def stage_rows(spans: Spans, ceilings: Ceilings, facts: Facts) -> list[dict[str, Any]]:
    """One for each name of a span, in the order in which they first began."""
    rate, bandwidth = _rate(ceilings, facts), ceilings.read
    return [_stage(Stage.of(name, spans.named(name)), spans, rate, bandwidth) for name in spans.names()]


def _stage(stage: Stage, spans: Spans, rate: float, bandwidth: float) -> dict[str, Any]:
    """Times in seconds; with what it achieved, where its cost is known."""
    row: dict[str, Any] = {name: value for name, value in asdict(stage).items() if name not in ("operations", "nbytes")}
    if stage.operations:
        floor = sum(span.cost.floor(rate, bandwidth) for span in spans.named(stage.name) if span.cost)
        row |= {
            "operations_per_second": stage.operations / stage.total,
            "bytes_per_second": stage.nbytes / stage.total,
            "floor": floor / stage.n,
            "bound_by": "arithmetic" if stage.operations / rate > stage.nbytes / bandwidth else "memory",
            "share_of_ceiling": floor / stage.total,
        }
    return row


def _rate(ceilings: Ceilings, facts: Facts) -> float:
    """Operations per second of the fastest products that such weights could be multiplied with."""
    rates = [ceilings.bf16, ceilings.fp32, ceilings.int8 if facts.is_quantized else None]
    if facts.variant == "float32":
        rates = [ceilings.fp32]
    return max(rate for rate in rates if rate is not None)


def decode_rows(spans: Spans) -> list[dict[str, Any]]:
    """Tokens per second against the length of the context, one point per answer."""
    answers: list[list[Span]] = []
    for span in spans.named(TOKEN):
        if answers and answers[-1][-1].context == (span.context or 0) - 1:
            answers[-1].append(span)
        else:
            answers.append([span])
    return [
        {"context": answer[len(answer) // 2].context, "tokens_per_second": 1 / Stage.of(TOKEN, answer).p50}
        for answer in answers
    ]


def memory_figures(predicted: MemoryBudget, before: int, weights: int, timeline: MemoryTimeline) -> dict[str, Any]:
    """Bytes. Keys, values and activations are measured together with what allocators keep: they come and go."""
    return {
        "predicted": predicted.to_dict(),
        "measured": {
            "overhead": before,
            "weights": weights,
            "kv_and_activations": timeline.peak - before - weights,
            "total": timeline.peak,
            **gpu_overheads(timeline.device),
        },
        "available": total(timeline.device),
        "timeline": downsampled([[round(at - timeline.points[0][0], 3), nbytes] for at, nbytes in timeline.points]),
    }


def downsampled(points: list[list[float]], most: int = 500) -> list[list[float]]:
    """As many at most, each the highest of its neighbours: a peak must not go."""
    step = max(1, -(-len(points) // most))
    return [max(points[start : start + step], key=lambda point: point[1]) for start in range(0, len(points), step)]
