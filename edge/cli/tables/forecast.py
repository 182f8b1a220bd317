"""What a device could watch, as a table for a terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from edge.commands.plan import DeviceForecast
from edge.planning.device import DeviceSpec
from edge.planning.forecast import Forecast, Workload
from edge.planning.memory_budget import MemoryBudget
from edge.reports import units


def show_forecast(found: DeviceForecast, workload: Workload, console: Console) -> None:
    _show_what_is_measured(found, console)
    table = Table(title=_title(found, workload), show_header=False, title_justify="left", title_style="bold")
    for name, value in _rows(found, workload).items():
        table.add_row(name, value)
    console.print(table)


def _show_what_is_measured(found: DeviceForecast, console: Console) -> None:
    if found.is_measured:
        text, style = (
            f"predicted by formulas; how near to its best the device comes was measured: {found.source}",
            "dim",
        )
    else:
        text = (
            f"not measured: all of this is predicted by formulas; how near to its best {found.device.name} comes: "
            f"{found.source}. `edge profile --json` on it, given to --like here, tells more."
        )
        style = "yellow"
    console.print(text, style=style, markup=False, soft_wrap=True)


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
        "load of the device": _load(forecast.load),
        "cameras at most": _cameras(forecast, found.device),
        "memory": _memory(memory, found.device),
        "of that weights": units.nbytes(memory.weights),
        "keys and values": units.nbytes(memory.kv),
    }


def _load(load: float) -> str:
    """And what a watch makes of too much of it (stream/pace.py)."""
    return f"{load:.0%}" + (f", so frames are taken {math.ceil(load)} times as far apart" if load > 1 else "")


def _cameras(forecast: Forecast, device: DeviceSpec) -> str:
    """And where even one is too many, what it would lose and what would help."""
    if forecast.streams:
        return str(forecast.streams)
    if not forecast.dropped:
        return "0: the memory is too small for one"
    lost = f"0 at this rate: {forecast.dropped:.0%} of one camera's frames would be passed over"
    if forecast.sparing is None:
        return f"{lost};\nfewer --fps, a smaller --size or a faster device would help"
    return f"{lost};\nwith --every {math.ceil(forecast.sparing)} none would be"


def _memory(needed: MemoryBudget, device: DeviceSpec) -> str:
    short = needed.total - device.memory
    of_all = f"{needed.total / 1e9:.2f} GB of {device.memory / 1e9:.0f} GB"
    return f"{of_all}: {short:.0f} bytes short" if short > 0 else of_all
