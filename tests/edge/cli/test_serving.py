"""`edge serve` as a process: what it says, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.errors import NotAllowed


def test_it_says_where_it_is_answers_and_ends_in_good_order() -> None:
    command = [
        sys.executable, "-m", "edge", "serve", "front=synthetic://?seed=3&live=1", "--model", "pocket", "--port", "0",
        "--ground", "purple circle", "--device", "cpu",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "open http://" in line)
            address = said.split()[-1]
            events = httpx.Client(base_url=address, timeout=30)
            with events.stream("GET", "/v1/events") as response:  # a listener keeps nobody from ending
                assert any(line.startswith("data: ") for line in response.iter_lines())
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_others_are_not_let_in_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_TOKEN", raising=False)
    result = CliRunner().invoke(app, ["serve", "synthetic://", "--host", "0.0.0.0"])
    assert isinstance(result.exception, NotAllowed) and "EDGE_TOKEN" in str(result.exception)
