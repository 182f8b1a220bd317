"""The threads that PyTorch computes with, for programs that it does not know: GNU's OpenMP, as PyTorch has loaded it.

Threads of our own would fight with PyTorch's for the cores, and would not wait as the user wants them to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

ASKED = ("omp_get_thread_num", "omp_get_num_threads")  # by programs
MAPS = Path("/proc/self/maps")


Program = Callable[[ctypes.Array[ctypes.c_int64]], None]
"""Machine code that this thread calls by itself."""


def run(program: int, arguments: Sequence[int]) -> None:
    """Each thread calls the program at that address with the same arguments; returns when all have."""
    those = (ctypes.c_int64 * len(arguments))(*arguments)
    _parallel()(program, those, torch.get_num_threads(), 0)


def alone(program: int) -> Program:
    """For what is so small that calling the others would take longer: one thread does all parts."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(program)


@cache
def _parallel() -> Any:
    openmp = library()
    assert openmp is not None
    parallel = openmp.GOMP_parallel
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel


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
