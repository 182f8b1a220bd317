"""Where `make` takes PyTorch from: drivers in made-up roots, a package index on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
from packaging.requirements import Requirement

from edge import torch_index
from edge.torch_index import CPU_INDEX, DRIVERS, choose, has_nvidia_driver, offers_torch

REPOSITORY = Path(__file__).parents[2]
WHEEL = "torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl"
LISTED = f'<a href="{WHEEL}#sha256=0">torch</a>'


def yes(*_: object) -> bool:
    return True


def no(*_: object) -> bool:
    return False


@contextmanager
def index(pages: dict[str, str], blocked: threading.Event | None = None) -> Iterator[str]:
    """A package index on loopback; with `blocked` it takes connections and says nothing until that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if blocked is not None:
                blocked.wait(60)
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            if self.command == "GET" and page is not None:
                self.wfile.write(page.encode())

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        if blocked is not None:
            blocked.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_a_driver_the_cpu_build_is_taken_and_said() -> None:
    options, reason = choose("", "linux", has_driver=no, is_reachable=yes)

    assert options == f"--extra-index-url {CPU_INDEX}"
    assert "no NVIDIA driver" in reason and "TORCH=cuda" in reason and "\n" not in reason


def test_with_a_driver_the_usual_index_stays() -> None:
    options, reason = choose("", "linux", has_driver=yes, is_reachable=yes)

    assert options == "" and "NVIDIA driver found" in reason


def test_a_host_out_of_reach_leaves_the_usual_index_and_says_so() -> None:
    options, reason = choose("", "linux", has_driver=no, is_reachable=no)

    assert options == "" and "cannot be reached" in reason and "PIP_INDEX" in reason and "\n" not in reason


def test_what_the_user_asks_for_counts_more_than_the_driver() -> None:
    assert choose("cpu", "linux", has_driver=yes, is_reachable=yes)[0] == f"--extra-index-url {CPU_INDEX}"
    assert choose("cuda", "linux", has_driver=no, is_reachable=yes) == ("", "")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_nothing_is_needed(platform: str) -> None:
    assert choose("", platform, has_driver=no, is_reachable=yes) == ("", "")


def test_another_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="TORCH=rocm is not known: say TORCH=cpu, TORCH=cuda"):
        choose("rocm", "linux")


@pytest.mark.parametrize("sign", DRIVERS)
def test_a_driver_is_known_by_what_it_leaves(sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_nvidia_driver(tmp_path)

    (tmp_path / sign).parent.mkdir(parents=True)
    (tmp_path / sign).write_text("")
    assert has_nvidia_driver(tmp_path)


@pytest.mark.parametrize(("status", "found"), [(0, True), (9, False)])
def test_nvidia_smi_counts_only_where_it_sees_a_gpu(
    status: int, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nexit {status}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert has_nvidia_driver(tmp_path) is found


def test_an_index_that_lists_torch_and_has_the_file_is_taken() -> None:
    with index({"/torch/": LISTED, f"/torch/{WHEEL}": ""}) as url:
        assert offers_torch(url)


@pytest.mark.parametrize(
    "pages",
    [
        {},  # nothing there
        {"/torch/": "<html>Please log in to the proxy.</html>"},  # something else answers
        {"/torch/": LISTED},  # the files lie where nobody answers
    ],
)
def test_an_index_from_which_torch_would_not_come_is_not_taken(pages: dict[str, str]) -> None:
    with index(pages) as url:
        assert not offers_torch(url)


def test_a_host_that_refuses_is_not_taken() -> None:
    with index({}) as url:
        pass

    assert not offers_torch(url)


def test_a_host_that_says_nothing_is_given_up() -> None:
    blocked = threading.Event()
    with index({"/torch/": LISTED}, blocked) as url:
        assert not offers_torch(url, patience=0.2)
        assert not blocked.is_set()


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        released.wait(60)
        raise URLError("no such host")

    monkeypatch.setattr(torch_index, "urlopen", look_up)

    assert not offers_torch("https://nowhere.invalid", patience=0.1)
    released.set()


def test_the_pinned_torch_may_be_the_cpu_build() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {Requirement(line).name: Requirement(line) for line in lines if line and not line.startswith("#")}

    for name in ("torch", "torchvision"):
        (version,) = (part.version for part in pinned[name].specifier)
        assert pinned[name].specifier.contains(f"{version}+cpu")


def test_it_runs_alone_before_anything_is_installed() -> None:
    command = [sys.executable, "-I", "-S", str(REPOSITORY / "edge" / "torch_index.py")]
    done = subprocess.run(command, env={"TORCH": "cuda"}, capture_output=True, text=True, timeout=60)
    wrong = subprocess.run(command, env={"TORCH": "rocm"}, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
    assert wrong.returncode == 1 and wrong.stderr.startswith("TORCH=rocm is not known") and wrong.stdout == ""


def make_says(*settings: str) -> str:
    """What `make` would run to set up the environment."""
    command = ["make", "--dry-run", "--always-make", "check", *settings]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_asks_unless_it_is_told() -> None:
    assert "edge/torch_index.py" in make_says()

    told = make_says("PIP_INDEX=--index-url https://mirror.example/simple")
    assert "--index-url https://mirror.example/simple" in told
    assert "edge/torch_index.py" not in told
