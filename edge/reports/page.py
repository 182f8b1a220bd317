"""A profile's report as one page of HTML that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from edge.reports import sections, units
from edge.reports.legend import FAMILIES
from edge.reports.reading import Report, finite, number, part, value

TEMPLATE = "page.html.j2"
CEILINGS = {
    "read": ("memory, reading", "B/s"),
    "copy": ("memory, copying", "B/s"),
    "bf16": ("matrix products in bfloat16", "FLOP/s"),
    "fp32": ("matrix products in float32", "FLOP/s"),
    "int8": ("matrix products in int8", "OP/s"),
}
WORKLOAD = {
    "window": ("window", "groups of two frames"),
    "fps": ("sampled", "frames/s"),
    "max_pixels": ("a frame has at most", "pixels"),
    "question_tokens": ("question", "tokens"),
    "answer_tokens": ("each answer", "tokens"),
    "clip": ("video", ""),
    "seed": ("seed", ""),
}


def write_page(report: Report, path: Path) -> None:
    path.write_text(render(report), encoding="utf-8", errors="backslashreplace")  # a file's name need be no text


def render(report: Report) -> str:
    return _environment().get_template(TEMPLATE).render(
        model=part(report, "model"),
        date=value(report, "date"),
        commit=value(report, "machine", "commit"),
        busy=value(report, "busy"),
        failed=value(report, "failed"),
        tiles=sections.tiles(report),
        machine={name: fact for name, fact in part(report, "machine").items() if fact not in ("", None)},
        ceilings=_ceilings(report),
        workload=_workload(report),
        stages=sections.stage_rows(report),
        shares=sections.time_shares(report),
        tokens=sections.tokens_curve(report),
        tokens_ceiling=sections.tokens_ceiling(report),
        memory=sections.memory_rows(report),
        memory_parts=sections.MEMORY_PARTS,
        available=number(report, "memory", "available"),
        timeline=sections.memory_timeline(report),
        live=part(report, "live"),
        dropped=part(report, "live", "dropped"),
        group_seconds=_group_seconds(report),
        energy=part(report, "energy"),
        families=FAMILIES,
    )  # fmt: skip


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("edge.reports", ""),
        autoescape=True,  # a model's name can hold anything
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "seconds": units.seconds,
        "nbytes": units.nbytes,
        "prefixed": units.prefixed,
        "percent": units.percent,
        "plain": units.plain,
        "whole": units.whole,
        "spaced": lambda name: str(name).replace("_", " "),
    }
    return found


def _ceilings(report: Report) -> dict[str, str]:
    """None: the device cannot do it."""
    facts = {}
    for key, rate in part(report, "ceilings").items():
        name, unit = CEILINGS.get(key, (key, "/s"))
        facts[name] = "not possible" if rate is None else units.prefixed(rate, unit)
    return facts


def _workload(report: Report) -> dict[str, str]:
    facts = {}
    for key, fact in part(report, "workload").items():
        name, unit = WORKLOAD.get(key, (key.replace("_", " "), ""))
        written = units.whole(fact) if unit and isinstance(fact, int) else str(fact)
        facts[name] = f"{written}{units.SPACE}{unit}" if unit else written
    size = value(report, "size")
    if isinstance(size, list) and len(size) == 2:
        height, width = size
        facts["looked at"] = f"{width}{units.TIMES}{height}{units.SPACE}pixels"
    return facts


def _group_seconds(report: Report) -> float | None:
    """Between two groups of two frames: who answers slower than this falls behind."""
    fps = finite(value(report, "workload", "fps"))
    return 2 / fps if fps else None
