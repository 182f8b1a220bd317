"""What a device could watch, as a table for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge.commands.plan import DeviceForecast
from edge.planning.device import DeviceSpec
from edge.planning.forecast import Workload
from edge.planning.memory_budget import MemoryBudget
from edge.reports import units


def show_forecast(found: DeviceForecast, workload: Workload, console: Console) -> None:
    table = Table(title=_title(found, workload), show_header=False, title_justify="left", title_style="bold")
    for name, value in _rows(found, workload).items():
        table.add_row(name, value)
    console.print(table)
    console.print(f"predicted from formulas; how near to its best the device comes: {found.source}", style="dim")


def _title(found: DeviceForecast, workload: Workload) -> str:
    height, width = workload.size
    cameras = "1 camera" if workload.cameras == 1 else f"{workload.cameras} cameras"
    return (
        f"{found.device.name}, {found.model} in {found.variant}\n"
        f"{cameras}, {width}x{height}, {workload.fps:g} frames a second, windows of {workload.window} groups"
    )


def _rows(found: DeviceForecast, workload: Workload) -> dict[str, str]:
    forecast, memory = found.forecast, found.forecast.memory
    return {
        "vision tower, a group": units.seconds(forecast.vision),
        "append, a group": units.seconds(forecast.append),
        f"first token, {workload.question_tokens} tokens asked": units.seconds(forecast.first_token),
        "each token": f"{units.seconds(forecast.token)} ({1 / forecast.token:.1f} a second)",
        f"answer of {workload.answer_tokens} tokens": units.seconds(forecast.answer),
        "age of an answer": f"{forecast.age:.2f} s; {forecast.worst_age:.2f} s when a window is rebuilt",
        "load of the device": f"{forecast.load:.0%}" + (", so frames are dropped" if forecast.load > 1 else ""),
        "cameras at most": str(forecast.streams),
        "memory": _memory(memory, found.device),
        "of that weights": units.nbytes(memory.weights),
        "keys and values": units.nbytes(memory.kv),
    }


def _memory(needed: MemoryBudget, device: DeviceSpec) -> str:
    short = needed.total - device.memory
    of_all = f"{needed.total / 1e9:.2f} GB of {device.memory / 1e9:.0f} GB"
    return f"{of_all}: {short:.0f} bytes short" if short > 0 else of_all
