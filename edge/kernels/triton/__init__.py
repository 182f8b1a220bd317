"""What a CUDA device multiplies and attends with, written in Triton: nothing is compiled when the project is installed.

Each file is one operation: what it computes, the Triton program, and a function that launches it. They know tensors and
layouts, no model. On a CPU the same programs run under Triton's interpreter (`TRITON_INTERPRET=1`), which is how they
are tested where there is no GPU.
"""

from __future__ import annotations

import importlib.util
from functools import cache


@cache
def is_installed() -> bool:
    """Whether the package is there; whether it works on a device is seen when a kernel is tried."""
    return importlib.util.find_spec("triton") is not None
