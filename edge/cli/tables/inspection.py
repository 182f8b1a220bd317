"""What a model folder holds, as a table for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge.commands.inspect import Inspection


def show_inspection(found: Inspection, title: str, console: Console) -> None:
    table = Table("part", "stored as", title=title, title_justify="left", title_style="bold")
    for heading in ("layers", "weights", "MB", "bits/weight"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        counts = (str(row.num_layers), f"{row.num_weights / 1e6:.2f} M", f"{row.nbytes / 1e6:.1f}")
        table.add_row(row.part, row.stored, *counts, f"{row.bits_per_weight:.2f}")
    console.print(table)
    console.print(found.summary(), markup=False)
