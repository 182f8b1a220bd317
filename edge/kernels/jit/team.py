"""The threads that PyTorch computes with, for programs that it does not know: GNU's OpenMP, as PyTorch has loaded it.

Threads of our own would fight with PyTorch's for the cores, and would not wait as the user wants them to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

ASKED = ("omp_get_thread_num", "omp_get_num_threads")  # by programs
MAPS = Path("/proc/self/maps")


def run(program: int, arguments: Sequence[int]) -> None:
    """Each thread calls the program at that address with the same arguments; returns when all have."""
    those = (ctypes.c_int64 * len(arguments))(*arguments)
    openmp = library()
    assert openmp is not None
    openmp.GOMP_parallel(ctypes.c_void_p(program), those, torch.get_num_threads(), 0)


def address(name: str) -> int:
    found = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value
    assert found is not None
    return found


@cache
def library() -> ctypes.CDLL | None:
    """The one that this process has loaded with PyTorch; None where PyTorch's threads are somebody else's."""
    if not MAPS.exists():
        return None
    files = {line.split()[-1] for line in MAPS.read_text().splitlines() if "libgomp" in line}
    ours = [path for path in files if Path(torch.__file__).parent.parent in Path(path).parents]
    if len(ours) != 1:
        return None
    loaded = ctypes.CDLL(ours[0])
    return loaded if all(hasattr(loaded, name) for name in ("GOMP_parallel", *ASKED)) else None
