"""What this machine is: facts that a figure is worth nothing without. Values are plain, for a table and for JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from edge import cgroups, threads

LIBRARIES = (
    "torch",
    "av",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
)


def machine() -> dict[str, Any]:
    """Device, versions, memory."""
    import torch

    from edge.kernels import cpu_copy, cpu_jit

    facts: dict[str, Any] = {
        "qwen2vl-edge": package_version("qwen2vl-edge"),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": len(threads.usable_cpus()),
        "threads": torch.get_num_threads(),
        "threads limited by": threads.reason(),
        "wait policy": threads.wait_policy(),
        "cpu instructions": torch.backends.cpu.get_cpu_capability(),
        "quantized weights": cpu_jit.describe() or cpu_copy.describe(),
        "cpu clock": _clock(),
        "memory": _memory(),
        "gpu": _gpu(),
    }
    return facts | {name: package_version(name) for name in LIBRARIES}


def package_version(name: str) -> str:
    """ "not installed" where it runs from a checkout."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Of the checkout this runs from; empty for an installed package."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def _cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _clock() -> str:
    clock = _cpuinfo("cpu MHz")
    return f"{float(clock):.0f} MHz as found" if clock else "unknown"


def _cpuinfo(field: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(field):
                return line.partition(":")[2].strip()
    return ""


def _memory() -> str:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = min((level.limit for level in cgroups.memory_limits()), default=physical)
    told = _gigabytes(physical)
    return told if allowed >= physical else f"{told}, {_gigabytes(allowed)} of it allowed by a control group"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none that PyTorch can use; the CPU does the work"
    properties = torch.cuda.get_device_properties(0)
    about = [properties.name, _gigabytes(properties.total_memory), f"CUDA {torch.version.cuda}"]
    return ", ".join([*about, *filter(None, [nvidia_smi(f"GPU-{properties.uuid}")])])


def nvidia_smi(uuid: str) -> str:
    """Driver, clocks as found and the power limit of a GPU; empty where nothing tells them."""
    query = "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit"
    command = ["nvidia-smi", query, "--format=csv,noheader", f"--id={uuid}"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        driver, clock, memory, limit = (part.strip() for part in told.strip().split(","))
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return f"driver {driver}, {clock} and memory {memory} as found, at most {limit}"


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB"
