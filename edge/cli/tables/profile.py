"""A profile's report as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from edge.reports.legend import is_whole

GPU_OVERHEADS = {
    "allocator_overhead": "kept by the allocator, unused",
    "beside_pytorch": "on the device beside PyTorch",
}


def show_report(report: dict[str, Any], console: Console) -> None:
    model, ceilings = report["model"], report["ceilings"]
    console.print(
        f"{model['name']}, {model['variant']}, computed in {model['dtype']} on {model['device']}", style="bold"
    )
    console.print(f"{report['machine']['cpu']}, {report['machine']['cores']} cores; GPU: {report['machine']['gpu']}")
    console.print(
        f"ceilings measured now: read {_giga(ceilings['read'])} GB/s, copy {_giga(ceilings['copy'])} GB/s; "
        f"bf16 {_giga(ceilings['bf16'])}, fp32 {_giga(ceilings['fp32'])}, int8 {_giga(ceilings['int8'])} G operations/s"
    )
    if busy := report.get("busy"):
        console.print(busy, style="yellow")
    if failed := report.get("failed"):
        console.print(failed, style="red")
    if "stages" in report:
        console.print(_stages(report))
        console.print(_decode(report))
    console.print(_memory(report))
    if live := report.get("live"):
        console.print(_live(live))
    energy = report["energy"]
    joules = energy.get("joules_per_answer")
    console.print(f"energy: {joules:.1f} J per answer" if joules else f"energy: not measured, {energy['not_measured']}")


def _stages(report: dict[str, Any]) -> Table:
    height, width = report["size"]
    work = report["workload"]
    title = f"every step of a frame, at {width}x{height}, ms"
    table = _table("stage", title)
    for heading in ("n", "p50", "p90", "p99", "floor", "achieved", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in sorted(report["stages"], key=lambda stage: is_whole(stage["name"])):
        times = [_ms(stage[name]) for name in ("p50", "p90", "p99")]
        table.add_row(stage["name"], str(stage["n"]), *times, *_achieved(stage))
    asked = f"a question of {work['question_tokens']} tokens, answers of {work['answer_tokens']}"
    table.caption = f"{asked}; floor: the least this device could take, share: of the time taken"
    return table


def _achieved(stage: dict[str, Any]) -> tuple[str, str, str]:
    if "floor" not in stage:
        return "", "", ""
    by_memory = stage["bound_by"] == "memory"
    rate = (
        f"{_giga(stage['bytes_per_second'])} GB/s" if by_memory else f"{_giga(stage['operations_per_second'])} GFLOP/s"
    )
    return _ms(stage["floor"]), rate, f"{stage['share_of_ceiling']:.0%}"


def _decode(report: dict[str, Any]) -> Table:
    table = _table("tokens in the context", "decoding")
    table.columns[0].justify = "right"
    table.add_column("tokens per second", justify="right")
    for point in report["decode"]:
        table.add_row(str(point["context"]), f"{point['tokens_per_second']:.1f}")
    return table


def _memory(report: dict[str, Any]) -> Table:
    predicted, measured = report["memory"]["predicted"], report["memory"]["measured"]
    table = _table("", "memory, MB")
    for heading in ("predicted", "measured"):
        table.add_column(heading, justify="right")
    together = predicted["kv"] + predicted["embeddings"] + predicted["activations"]
    rows = {
        "before the model": (predicted["overhead"], measured["overhead"]),
        "weights": (predicted["weights"], measured["weights"]),
        "keys, values, activations": (together, measured["kv_and_activations"]),
        "most at a time": (predicted["total"], measured["total"]),
    }
    for name, values in rows.items():
        table.add_row(name, *(f"{value / 1e6:.0f}" for value in values))
    for key, name in GPU_OVERHEADS.items():
        if key in measured:
            table.add_row(name, "", f"{measured[key] / 1e6:.0f}")
    return table


def _table(first: str, title: str) -> Table:
    """Fits into 80 columns."""
    return Table(
        first, title=title, title_justify="left", title_style="bold", caption_justify="left", box=SIMPLE_HEAD,
        pad_edge=False,
    )  # fmt: skip


def _live(live: dict[str, Any]) -> str:
    if live["age_p50"] is None:
        return f"a live camera: no answer within {live['seconds']:.0f} s"
    missed = sum(count for reason, count in live["dropped"].items() if reason != "between_samples")
    return (
        f"a live camera for {live['seconds']:.0f} s: {live['answers']} answers, age p50 {live['age_p50']:.2f} s, "
        f"p99 {live['age_p99']:.2f} s; {live['groups']} groups seen, {missed} of {live['sampled']} samples dropped"
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


def _giga(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e9:.1f}" if value < 1e11 else f"{value / 1e9:.0f}"
