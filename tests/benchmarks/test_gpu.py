"""The list of what a GPU is asked: nothing is left out, and a step that goes wrong stops no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu import PARITY, PLACES, Step, missing, picked, run, run_all, steps, unusable

TESTS = Path(__file__).parents[1]


def test_every_test_that_needs_a_gpu_lies_where_the_command_looks() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if "pytest.mark." + "gpu" in path.read_text()]
    looked_at = [TESTS.parent / place for place in PLACES.split()]

    assert TESTS.parent / PARITY in files
    assert [path for path in files if not any(path.is_relative_to(place) for place in looked_at)] == []


@pytest.mark.parametrize("device, is_short", [("cuda", False), ("cuda", True), ("cpu", True)])
def test_the_steps_are_on_the_device_that_was_asked_for(device: str, is_short: bool) -> None:
    plan = steps(device, is_short)

    assert [step.name for step in plan[:2]] == ["kernels", "parity"]
    assert all(f"--device {device}" in step.command for step in plan if "--device" in step.command)
    assert ("random:2b" in str(plan)) != is_short


def test_a_step_that_fails_is_reported_and_the_rest_go_on(tmp_path: Path) -> None:
    plan = [
        Step("fails", "no_such_module", 60),
        Step("lacks", "this", 60, needs=("no_such_package",)),
        Step("works", "this", 60),
    ]

    outcomes = run_all(plan, minutes=9.0, logs=tmp_path)

    assert [one.outcome for one in outcomes] == ["failed", "skipped", "done"]
    assert [one.is_bad for one in outcomes] == [True, False, False]
    assert "no_such_package" in outcomes[1].detail
    assert "No module named" in (tmp_path / "fails.log").read_text()


def test_a_step_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP server never ends by itself."""
    monkeypatch.setattr("benchmarks.gpu.LEAST", 0.0)
    outcome = run(Step("server", "http.server 0 --bind 127.0.0.1", 60), limit=1.0, log=tmp_path / "log")

    assert outcome.outcome == "stopped" and "longer than 1 s" in outcome.detail


def test_what_no_time_is_left_for_is_not_begun(tmp_path: Path) -> None:
    assert run(Step("late", "this", 60), 1.0, tmp_path / "log").detail == "not begun: no time left"
    assert not (tmp_path / "log").exists()


def test_an_unknown_step_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match=r"no step is named piers\. Choose from kernels, parity"):
        picked(steps("cpu", True), "piers,parity")


def test_a_python_without_a_cuda_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    assert "finds no CUDA device" in missing("cuda")
    assert unusable("cpu") == ""
