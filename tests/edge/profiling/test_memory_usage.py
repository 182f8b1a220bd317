"""Memory and energy over time, with what tells them replaced."""

from __future__ import annotations

import mmap
import sys
import threading
from pathlib import Path

import pytest
import torch

from edge.cgroups import MemoryLimit
from edge.profiling import energy, memory_usage
from edge.profiling.memory_usage import MemoryTimeline, free, gpu_overheads, total, used

CPU = torch.device("cpu")
SIZE = 64 << 20


def test_what_is_taken_shows_in_the_peak() -> None:
    before = used(CPU)
    with MemoryTimeline(CPU, interval=0.001) as timeline:
        block = mmap.mmap(-1, SIZE)  # from the system itself: an allocator may have as much lying about
        block.write(b"1" * SIZE)
        seen = len(timeline.points)
        deadline = threading.Event()
        while len(timeline.points) < seen + 2:
            deadline.wait(0.001)
    block.close()
    assert timeline.peak - before >= 0.9 * SIZE
    assert 0 < free(CPU) < total(CPU)


@pytest.mark.parametrize(
    ("levels", "most", "left"),
    [
        ([], 32 << 30, 20 << 30),
        ([MemoryLimit(8 << 30, 5 << 30)], 8 << 30, 3 << 30),
        ([MemoryLimit(8 << 30, 1 << 30), MemoryLimit(16 << 30, 15 << 30)], 8 << 30, 1 << 30),
        ([MemoryLimit(64 << 30, 1 << 30)], 32 << 30, 20 << 30),
    ],
)
def test_a_control_group_leaves_less_than_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, levels: list[MemoryLimit], most: int, left: int
) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: {32 << 20} kB\nMemAvailable: {20 << 20} kB\n")
    monkeypatch.setattr(memory_usage, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_usage, "memory_limits", lambda: levels)
    monkeypatch.setattr(memory_usage.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8 << 20}.__getitem__)

    assert (total(CPU), free(CPU)) == (most, left)


def test_joules_are_watts_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(energy.time, "perf_counter", lambda: float(next(clock)))
    meter = energy.EnergyMeter(lambda: 10.0)
    for _ in range(10):
        meter._sample()

    assert meter.joules(2.0, 5.5) == pytest.approx(35.0)


def test_a_cpu_has_no_meter_and_says_so() -> None:
    with pytest.raises(energy.PowerUnavailable, match="a CPU's power is not read"):
        energy.power_meter(CPU)


def test_without_nvml_it_is_said_that_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(energy.PowerUnavailable, match="nvidia-ml-py is not installed"):
        energy.power_meter(torch.device("cuda"))


class FakeNvml:
    """As much of pynvml as is asked for."""

    class NVMLError(Exception):
        pass

    def __init__(self, watts: float | None) -> None:
        self.watts, self.asked = watts, ""

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked = uuid
        return uuid

    def nvmlDeviceGetPowerUsage(self, handle: str) -> float:
        if self.watts is None:
            raise self.NVMLError("Not Supported")
        return 1000 * self.watts


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    properties = type("Properties", (), {"uuid": "abc"})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return torch.device("cuda", 1)


def test_power_is_that_of_the_device_itself_by_its_own_name(monkeypatch: pytest.MonkeyPatch, gpu: torch.device) -> None:
    nvml = FakeNvml(watts=250.0)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)

    assert energy.power_meter(gpu)() == 250.0
    assert nvml.asked == "GPU-abc"


def test_a_gpu_that_does_not_tell_its_power_is_said(monkeypatch: pytest.MonkeyPatch, gpu: torch.device) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(watts=None))

    with pytest.raises(energy.PowerUnavailable, match="NVML: Not Supported"):
        energy.power_meter(gpu)


def test_what_lies_beside_what_is_used_is_told_of_a_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, gpu: torch.device
) -> None:
    told = {"max_memory_reserved": 50, "max_memory_allocated": 40, "memory_reserved": 45, "mem_get_info": (30, 100)}
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)

    assert gpu_overheads(CPU) == {}
    assert gpu_overheads(gpu) == {"allocator_overhead": 10, "beside_pytorch": 25}
