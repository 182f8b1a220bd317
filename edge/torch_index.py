"""Where pip shall take PyTorch from, before anything is installed: `make` asks this file and gives pip what it prints.

PyPI's torch for Linux brings several GB of CUDA. For machines without an NVIDIA driver, PyTorch's own host has a build
for the CPU alone; pip prefers it (2.13.0+cpu counts as newer than 2.13.0). Where that host cannot be reached, behind a
company's proxy or without a network, pip's usual index stays. `TORCH=cuda` or `TORCH=cpu` decides against the driver.

Knows drivers, hosts and pip's options. Runs alone, on the standard library, and does not import its own package.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PATIENCE = 5.0  # seconds, for all of the asking
DRIVERS = ("proc/driver/nvidia/version", "dev/nvidia0", "etc/nv_tegra_release")  # the last: NVIDIA's Jetson boards
WHEEL = re.compile(r'href="([^"#]+\.whl)')
PAGE = 4_000_000  # bytes; a longer page is not PyTorch's


def main() -> None:
    try:
        options, reason = choose(os.environ.get("TORCH", ""), sys.platform)
    except ValueError as error:
        sys.exit(str(error))
    if reason:
        print(reason, file=sys.stderr)
    print(options)


def choose(
    wanted: str,
    platform: str,
    *,
    has_driver: Callable[[], bool] | None = None,
    is_reachable: Callable[[str], bool] | None = None,
) -> tuple[str, str]:
    """pip's options, and a line that says why. Raises ValueError for another wish than "", "cpu" or "cuda"."""
    if wanted not in ("", "cpu", "cuda"):
        raise ValueError(f"TORCH={wanted} is not known: say TORCH=cpu, TORCH=cuda, or nothing.")
    if wanted == "cuda" or not platform.startswith("linux"):  # elsewhere the usual build is small
        return "", ""
    if not wanted and (has_driver or has_nvidia_driver)():
        return "", "NVIDIA driver found: PyTorch with CUDA from pip's usual index (TORCH=cpu takes the small build)."
    why = "TORCH=cpu" if wanted else "no NVIDIA driver found"
    if (is_reachable or offers_torch)(CPU_INDEX):
        return (
            f"--extra-index-url {CPU_INDEX}",
            f"{why}: PyTorch's CPU build from {CPU_INDEX} (TORCH=cuda for the other).",
        )
    return "", (
        f"{why}, but {CPU_INDEX} cannot be reached: PyTorch from pip's usual index, "
        'perhaps with several GB of CUDA (PIP_INDEX="..." gives pip another).'
    )


def has_nvidia_driver(root: Path = Path("/")) -> bool:
    return any((root / sign).exists() for sign in DRIVERS) or _nvidia_smi_sees_a_gpu()


def _nvidia_smi_sees_a_gpu() -> bool:
    """Where Windows lends its driver to Linux, nothing but this command tells of it."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    try:
        return subprocess.run([command, "-L"], capture_output=True, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        return True  # a driver that thinks it over is a driver
    except OSError:
        return False


def offers_torch(index: str, patience: float = PATIENCE) -> bool:
    """Whether the index lists torch, and the host of its files answers too, within `patience` seconds.

    Asked in a thread that is left behind: looking up a host's name can take longer than any timeout of a socket.
    """
    answer: queue.Queue[bool] = queue.Queue()
    threading.Thread(target=lambda: answer.put(_lists_torch(index, patience)), daemon=True).start()
    try:
        return answer.get(timeout=patience)
    except queue.Empty:
        return False


def _lists_torch(index: str, patience: float) -> bool:
    page = f"{index}/torch/"
    try:
        with urlopen(page, timeout=patience) as response:
            wheel = WHEEL.search(response.read(PAGE).decode(errors="replace"))
        if wheel is None:
            return False
        with urlopen(Request(urljoin(page, wheel[1]), method="HEAD"), timeout=patience):
            return True
    except (URLError, OSError, ValueError):
        return False


if __name__ == "__main__":
    main()
