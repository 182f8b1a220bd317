"""How many threads compute and how they wait, in processes that have not imported PyTorch yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edge import cli, threads

REPOSITORY = Path(__file__).parents[2]
TELL = """
import json, os, sys, torch
names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT")
print(json.dumps({name: os.environ.get(name) for name in names} | {"torch": torch.get_num_threads()}))
"""


def process(code: str, **variables: str) -> dict[str, object]:
    """What a new process tells after `code`; none of ours or of OpenMP's variables comes from this one."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_", "MKL_"))
    }
    found = subprocess.run(
        [sys.executable, "-c", code + TELL], env={**environ, "PYTHONPATH": str(REPOSITORY), **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told: dict[str, object] = json.loads(found.stdout.splitlines()[-1])
    return told


SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "2000"}
LOAD = "import edge; edge.load('pocket')\n"
CONSOLE = """
import sys
from edge.cli import main
sys.argv = ["edge", "plan", "--device", "h200", "--json"]
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize("code", [LOAD, CONSOLE], ids=["edge.load", "the console script"])
def test_waiting_threads_sleep_and_there_are_as_many_as_the_process_may_use(code: str) -> None:
    told = process(code)

    assert SLEEPING.items() <= told.items()
    assert told["torch"] == int(str(told["OMP_NUM_THREADS"])) <= len(threads.usable_cpus())


def test_what_the_user_has_set_is_not_changed() -> None:
    told = process(LOAD, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="1")

    assert (told["OMP_WAIT_POLICY"], told["OMP_NUM_THREADS"], told["torch"]) == ("ACTIVE", "1", 1)
    assert told["KMP_BLOCKTIME"] is told["GOMP_SPINCOUNT"] is None


def test_a_program_that_has_imported_pytorch_keeps_its_threads() -> None:
    told = process(f"import torch; torch.set_num_threads(5)\n{LOAD}")

    assert told["torch"] == 5 and told["OMP_NUM_THREADS"] is told["OMP_WAIT_POLICY"] is None


@pytest.mark.parametrize("before", ["", "import torch\n"], ids=["before PyTorch is imported", "after it"])
def test_as_many_threads_as_asked_for(before: str) -> None:
    told = process(f"{before}from edge import threads; threads.use(3)\n", OMP_NUM_THREADS="2", MKL_NUM_THREADS="2")

    assert told["torch"] == 3


def test_threads_are_an_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[int] = []
    monkeypatch.setattr(threads, "use", asked.append)
    for command in (["describe", "no-such.png"], ["watch", "synthetic:", "--duration", "0"]):
        monkeypatch.setattr(sys, "argv", ["edge", *command, "--threads", "3"])
        with pytest.raises(SystemExit):
            cli.main()

    assert asked == [3, 3]


def topology(folder: Path, *siblings: str) -> Path:
    for cpu, text in enumerate(siblings):
        (folder / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("cpus", "quota", "count", "reason"),
    [
        ({0, 1, 2, 3}, None, 2, "cores"),
        ({0, 2}, None, 2, "cores"),
        ({0, 1}, None, 1, "cores"),
        ({0, 1, 2, 3}, 8.0, 2, "cores"),
        ({0, 1, 2, 3}, 1.5, 2, "quota of 1.5 CPUs"),
        ({0, 1, 2, 3}, 1.0, 1, "quota of 1 CPUs"),
        ({0, 1, 2, 3}, 0.2, 1, "quota of 0.2 CPUs"),
    ],
)
def test_threads_are_counted_by_cores_and_by_the_quota(
    tmp_path: Path, cpus: set[int], quota: float | None, count: int, reason: str
) -> None:
    """Two cores of two hardware threads each: 0 and 1, 2 and 3."""
    chosen = threads.choose(cpus, quota, topology(tmp_path, "0-1", "0-1", "2-3", "2-3"))

    assert chosen.count == count and reason in chosen.reason


def test_without_a_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert threads.choose({0, 1, 5}, None, tmp_path).count == 3


def test_doctor_tells_the_threads_and_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["edge", "doctor", "--json"])
    with pytest.raises(SystemExit):
        cli.main()

    told = json.loads(capsys.readouterr().out)
    assert told["threads"] == torch.get_num_threads() and told["threads limited by"] and told["wait policy"]
