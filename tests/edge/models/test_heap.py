"""Loading leaves no holes in memory, in a process of its own: glibc's habits last as long as a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edge.models.heap import CHOSEN, _libc

# As loading does it: pieces that are soon free again, each a little larger than the last, between layers that stay.
SCRIPT = """
import psutil
import torch
from contextlib import nullcontext
from edge.models.heap import compact_heap

process, kept = psutil.Process(), []
before = process.memory_info().rss
with HOW:
    for index in range(60):
        passing = [torch.ones((1 << 18) * (index % 7 + 1 + part)) for part in range(6)]
        kept.append(torch.ones(1 << 18))
        del passing
held = sum(layer.nbytes for layer in kept)
print(held, process.memory_info().rss - before)
"""


@pytest.mark.skipif(_libc() is None, reason="memory comes from another allocator than glibc's here")
def test_what_was_free_again_is_given_back() -> None:
    held, grown = run("compact_heap()")
    assert grown < 1.25 * held < run("nullcontext()")[1]


def run(how: str) -> tuple[int, int]:
    """Bytes kept, and bytes by which the process grew."""
    script = SCRIPT.replace("HOW", how)
    habits = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=habits)
    held, grown = map(int, done.stdout.split())
    return held, grown
