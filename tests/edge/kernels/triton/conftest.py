"""Without a GPU the programs run under Triton's interpreter, which is chosen when they are first imported."""

from __future__ import annotations

import importlib.util
import os

import torch

collect_ignore_glob = [] if importlib.util.find_spec("triton") else ["test_*.py"]

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
