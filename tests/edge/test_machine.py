"""What a machine tells of itself, with the programs that tell it replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.machine import machine, nvidia_smi

CSV = "580.95.05, 1980 MHz, 3201 MHz, 700.00 W"


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_driver_clocks_and_power_of_a_gpu_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f'[ "$3" = --id=GPU-1 ] && echo "{CSV}"')

    assert nvidia_smi("GPU-1") == "driver 580.95.05, 1980 MHz and memory 3201 MHz as found, at most 700.00 W"


@pytest.mark.parametrize("body", ["exit 9", "echo no devices were found", "true"])
def test_where_nothing_tells_them_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    program(tmp_path, monkeypatch, body)

    assert nvidia_smi("GPU-1") == ""


def test_without_the_program_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert nvidia_smi("GPU-1") == ""


def test_the_machines_facts_say_what_a_figure_is_worth_nothing_without() -> None:
    facts = machine()

    assert all(facts[fact] for fact in ("cpu", "cores", "cpu clock", "gpu", "torch", "commit"))
