"""Loading leaves no holes in memory, in a process of its own: glibc's habits last as long as a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge.model.heap import _libc

# As loading does it: pieces that are soon free again, each a little larger than the last, between layers that stay.
SCRIPT = """
import psutil
import torch
from edge.model.heap import compact_heap

process, kept = psutil.Process(), []
before = process.memory_info().rss
with compact_heap():
    for index in range(60):
        passing = [torch.ones((1 << 18) * (index % 7 + 1 + part)) for part in range(6)]
        kept.append(torch.ones(1 << 18))
        del passing
held = sum(layer.nbytes for layer in kept)
print(held, process.memory_info().rss - before)
"""


@pytest.mark.skipif(_libc() is None, reason="memory comes from another allocator than glibc's here")
def test_what_was_free_again_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    held, grown = map(int, done.stdout.split())
    assert grown < 1.25 * held
