"""Every line of every registry leads to a class that keeps its folder's contract."""

from __future__ import annotations

import inspect
import pkgutil
from typing import Any

import pytest

from edge.runners import RUNNERS, Runner, RunnerClass
from stream.sinks import SINKS, Sink
from stream.sources import SOURCES, Source
from stream.tasks import TASKS, Task

CONTRACTS = [(RUNNERS, Runner), (RUNNERS, RunnerClass), (SINKS, Sink), (SOURCES, Source), (TASKS, Task)]
LINES = [
    pytest.param(path, contract, id=f"{contract.__name__}-{name}")
    for registry, contract in CONTRACTS
    for name, path in registry.items()
]


def methods(contract: type) -> dict[str, Any]:
    kept = ("__iter__",)
    return {
        name: value
        for name, value in vars(contract).items()
        if inspect.isfunction(value) and (not name.startswith("_") or name in kept)
    }


@pytest.mark.parametrize("path, contract", LINES)
def test_every_line_resolves_and_keeps_its_contract(path: str, contract: type) -> None:
    found = pkgutil.resolve_name(path)
    for name, expected in methods(contract).items():
        offered = inspect.signature(getattr(found, name)).parameters
        wanted = [p for p in inspect.signature(expected).parameters if p != "self"]
        assert [name for name in offered if name != "self"][: len(wanted)] == wanted
    assert found.__doc__ or inspect.getmodule(found).__doc__


def test_importing_stream_never_imports_torch() -> None:
    import subprocess
    import sys

    every = "; ".join(
        f"import {path.partition(':')[0]}" for registry in (SOURCES, SINKS, TASKS) for path in registry.values()
    )
    code = f"import sys, stream.session, stream.rtsp_server; {every}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
