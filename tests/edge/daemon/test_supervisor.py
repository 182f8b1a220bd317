"""What systemd is told: a real socket, as it has one."""

from __future__ import annotations

import configparser
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge.daemon
from edge.daemon.service import Service
from edge.daemon.supervisor import Supervisor


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(str(tmp_path / "notify"))
        ours.settimeout(60)
        yield ours


def environ(systemd: socket.socket, watchdog: str = "30000") -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": watchdog}


def test_it_is_told_of_the_beginning_of_turns_and_of_the_end(systemd: socket.socket) -> None:
    supervisor = Supervisor(environ(systemd), lambda: True)
    supervisor.ready()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    supervisor.ending()
    while (said := systemd.recv(100)) == b"WATCHDOG=1":
        pass
    assert said == b"STOPPING=1"


def test_an_engine_that_hangs_is_not_spoken_for(systemd: socket.socket) -> None:
    asked = threading.Semaphore(0)
    supervisor = Supervisor(environ(systemd), lambda: bool(asked.release()))
    supervisor.ready()
    assert all(asked.acquire(timeout=30) for _ in range(3))
    supervisor.ending()
    assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("told", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"WATCHDOG_USEC": "x"}])
def test_nobody_to_tell_is_no_error(told: dict[str, str]) -> None:
    supervisor = Supervisor(told, lambda: True)
    supervisor.ready()
    supervisor.ending()


def test_an_idle_engine_takes_turns_when_it_is_asked(service: Service) -> None:
    service.advances()
    for _ in range(3):
        assert service.turned.wait(30)
        assert service.advances()


def test_the_daemon_tells_systemd(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ(systemd, "600000").items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "edge", "serve", "front=synthetic://?live=1", "--model", "pocket", "--port", "0"]
    with subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.DEVNULL) as process:
        try:
            assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
            process.send_signal(signal.SIGTERM)
            while (said := systemd.recv(100)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1" and process.wait(20) in (0, -signal.SIGTERM)
        finally:
            process.kill()


def test_the_unit_is_one_and_waits_to_be_told() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    assert unit.read(Path(edge.daemon.__path__[0]) / "edge.service")
    assert unit["Service"]["Type"] == "notify" and int(unit["Service"]["WatchdogSec"]) > 0
    assert "edge serve -c" in unit["Service"]["ExecStart"]
