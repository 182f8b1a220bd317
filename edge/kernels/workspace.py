"""Memory for one tensor, used again and again: the system hands out a fresh one page by page, which takes several times
as long as to fill it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor


class _Workspace(threading.local):
    numbers: Tensor | None = None

    def __call__(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Holds what it held before; the next one overwrites it."""
        count = math.prod(shape)
        if self.numbers is None or self.numbers.dtype != dtype or len(self.numbers) < count:
            with torch.inference_mode(False):  # what was made within it could not be written to outside
                self.numbers = torch.empty(count, dtype=dtype)
        return self.numbers[:count].view(*shape)


workspace = _Workspace()
