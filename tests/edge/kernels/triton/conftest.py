"""Where Triton is not installed (it comes with PyTorch for CUDA alone, and with the extra `dev`) these are left out."""

from __future__ import annotations

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("triton") else ["test_*.py"]
