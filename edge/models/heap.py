"""Memory that loading leaves behind.

glibc learns from what is freed which sizes to keep in its heap, up to 32 MB. While a model comes in, long-lived layers
then lie between pieces that were free again a moment later, and a gigabyte of holes may stay (the 2B shape in INT4:
2.0 GB resident, or 3.2 GB, by chance). So large pieces come from the system while loading, and go back to it;
afterwards the heap keeps what activations take, because pages that come fresh at every layer cost time. Elsewhere than
with glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h
CHOSEN = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_")  # where the environment says how memory is kept
SMALL, LARGE = 1 << 20, 32 << 20  # bytes; glibc takes no threshold above the second


_lock, _loading = threading.Lock(), 0


@contextmanager
def compact_heap() -> Iterator[None]:
    """While weights are loaded into the memory of the CPU. Nothing is done where the environment sets such sizes."""
    libc = _libc()
    if libc is None or any(name in os.environ for name in CHOSEN):
        yield
        return
    _enter(libc, 1)
    try:
        yield
    finally:
        _enter(libc, -1)


def _enter(libc: ctypes.CDLL, count: int) -> None:
    """Several may load at once; the last one to end leaves what stays for the rest of the process."""
    global _loading
    with _lock:
        _loading += count
        libc.mallopt(MMAP_THRESHOLD, SMALL if _loading else LARGE)
        if not _loading:
            libc.mallopt(TRIM_THRESHOLD, 2 * LARGE)  # in the proportion that glibc keeps by itself
            libc.malloc_trim(0)


def _libc() -> ctypes.CDLL | None:
    """glibc, where Python is built with it."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
