"""How a watch of several cameras went, a column each, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.cli.terminal import plain
from stream.ledger import STOPPED
from stream.printable import printable
from stream.session import DURATION
from stream.summary import Summary

AWAY = (STOPPED, DURATION)  # ends that are no failure, and so will not be told as one


def show_cameras(summaries: Sequence[Summary], console: Console) -> None:
    """Every number of each; below it the cameras that were away at the end, and why."""
    table = Table("", title=f"{len(summaries)} cameras", title_justify="left", title_style="bold")
    columns = [_numbers(summary) for summary in summaries]
    for summary in summaries:
        table.add_column(Text(printable(summary.stream)), overflow="fold")
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name.replace("_", " "), *(plain(column.get(name, "")) for column in columns))
    console.print(table)
    for summary in summaries:
        if summary.error is not None and summary.ended in AWAY:
            console.print(Text(printable(f"{summary.stream}: {summary.error}")), soft_wrap=True)


def _numbers(summary: Summary) -> Mapping[str, Any]:
    """By the name of a row, each reason for dropping in a row of its own."""
    facts = {name: value for name, value in summary.to_dict().items() if value is not None}
    reasons = {f"dropped: {reason}": count for reason, count in facts["dropped"].items()}
    return {
        name: value
        for fact, given in facts.items()
        for name, value in (reasons if fact == "dropped" else {fact: given}).items()
        if name not in ("stream", "error")
    }
