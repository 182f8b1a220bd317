"""Two profiles side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge.reports import units
from edge.reports.compare import Change, compare, differences
from edge.reports.reading import value

WRITE = {"s": units.seconds, "B": units.nbytes, "tokens/s": units.plain}


def show_comparison(a: Mapping[str, Any], b: Mapping[str, Any], console: Console) -> None:
    console.print(f"before: {_about(a)}\n after: {_about(b)}", markup=False)
    for warning in differences(a, b):
        console.print(warning, style="yellow", markup=False)
    changes = compare(a, b)
    console.print(_table(changes) if changes else "nothing that both have was measured")


def _about(report: Mapping[str, Any]) -> str:
    facts = [value(report, "model", name) for name in ("name", "variant", "device")]
    facts += [value(report, "date"), value(report, "machine", "commit")]
    return ", ".join(str(fact) for fact in facts if fact)


def _table(changes: list[Change]) -> Table:
    table = Table("", title="before and after", title_justify="left", title_style="bold")
    for heading in ("before", "after", "ratio", "noise"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for change in changes:
        write = WRITE[change.unit]
        figures = write(change.before), write(change.after), f"{change.ratio:.2f}", f"±{change.noise:.0%}"
        table.add_row(escape(change.what), *figures, change.verdict, style=_style(change))
    table.caption = "p50 of each stage; a difference within the noise of both counts as the same"
    if any(change.verdict == "withheld" for change in changes):
        table.caption += "; withheld: the two runs did not have the same machine or work, for the reasons above"
    return table


def _style(change: Change) -> str:
    if change.verdict in ("same", "withheld"):
        return ""
    return "red" if change.is_worse else "green"
