"""Memory and energy over time, with what tells them replaced."""

from __future__ import annotations

import mmap
import threading

import pytest
import torch

from edge.profiling import energy
from edge.profiling.memory import Timeline, free, taken, total

CPU = torch.device("cpu")
SIZE = 64 << 20


def test_what_is_taken_shows_in_the_peak() -> None:
    before = taken(CPU)
    with Timeline(CPU, every=0.001) as timeline:
        block = mmap.mmap(-1, SIZE)  # from the system itself: an allocator may have as much lying about
        block.write(b"1" * SIZE)
        seen = len(timeline.points)
        deadline = threading.Event()
        while len(timeline.points) < seen + 2:
            deadline.wait(0.001)
    block.close()
    assert timeline.peak - before >= 0.9 * SIZE
    assert 0 < free(CPU) < total(CPU)


def test_joules_are_watts_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(energy.time, "perf_counter", lambda: float(next(clock)))
    meter = energy.Energy(lambda: 10.0)
    for _ in range(10):
        meter._note()

    assert meter.joules(2.0, 5.5) == pytest.approx(35.0)


def test_a_cpu_has_no_meter_and_says_so() -> None:
    with pytest.raises(energy.NoPower, match="a CPU's power is not read"):
        energy.power_meter(CPU)


def test_without_nvml_it_is_said_that_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)

    with pytest.raises(energy.NoPower, match="nvidia-ml-py is not installed"):
        energy.power_meter(torch.device("cuda"))
