"""`edge serve` as a process: what it says, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.cli.terminal import UsageError
from edge.errors import BadConfig, NotAllowed


def test_it_says_where_it_is_answers_and_ends_in_good_order() -> None:
    command = [
        sys.executable, "-m", "edge", "serve", "front=synthetic://?seed=3&live=1", "--model", "pocket", "--port", "0",
        "--ground", "purple circle", "--device", "cpu",
    ]  # fmt: skip
    with ExitStack() as clients, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "open http://" in line)
            address = said.split()[-1]
            http = clients.enter_context(httpx.Client(base_url=address, timeout=30))
            with http.stream("GET", "/v1/events") as response:  # a listener keeps nobody from ending
                assert any(line.startswith("data: ") for line in response.iter_lines())
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_a_file_says_what_is_watched_and_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    camera = "  {name}: {{address: 'synthetic://?seed=3&live=1', ground: [purple circle]}}\n"
    begin = "model: {device: cpu}\nserver: {port: 0}\ncameras:\n"
    path.write_text(begin + camera.format(name="front"))
    command = [sys.executable, "-m", "edge", "serve", "-c", str(path)]
    with ExitStack() as clients, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(line for line in process.stderr if "open http://" in line).split()[-1]
            http = clients.enter_context(httpx.Client(base_url=address, timeout=30))
            path.write_text(begin + camera.format(name="front") + camera.format(name="back"))
            assert http.post("/v1/config/reload").json() == {"changed": "added: back"}
            path.write_text("cameras: {a: {}}")
            refused = http.post("/v1/config/reload")
            assert refused.status_code == 400 and "it is needed" in refused.json()["error"]["message"]
            assert [stream["name"] for stream in http.get("/v1/streams").json()] == ["front", "back"]
            path.write_text(begin + camera.format(name="back"))
            process.send_signal(signal.SIGHUP)
            assert any("removed: front" in line for line in process.stderr)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        finally:
            process.kill()


def test_a_file_is_checked_and_every_mistake_is_told(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("cameras:\n  a: {address: 'rtsp://u:hunter2@10.0.0.7/live'}\n")
    good = CliRunner().invoke(app, ["check-config", str(path), "--json"])
    assert good.exit_code == 0 and "hunter2" not in good.output and "10.0.0.7" in good.output
    path.write_text("cameras:\n  a: {address: 'nonsense://x', fsp: 2}\n")
    for text in (path.read_text(), path.read_text().replace(", fsp: 2", "")):
        path.write_text(text)
        assert isinstance(CliRunner().invoke(app, ["check-config", str(path)]).exception, (BadConfig, UsageError))
    assert CliRunner().invoke(app, ["check-config", "--reference"]).output.startswith("# The configuration")


def test_others_are_not_let_in_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_TOKEN", raising=False)
    result = CliRunner().invoke(app, ["serve", "synthetic://", "--host", "0.0.0.0"])
    assert isinstance(result.exception, (NotAllowed, UsageError)) and "EDGE_TOKEN" in str(result.exception)
