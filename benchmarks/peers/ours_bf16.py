"""Our engine on the checkpoint as it is, through its runner: the vision tower once, the prompt in three pieces."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.adapter import Adapter, main
from benchmarks.peers.workload import NEW_TOKENS, TEXT_TOKENS, VISUAL_TOKENS, Picture, Times, prompt_ids


class OursBf16(Adapter):
    """Drives `PyTorchRunner` as a stream's context does."""

    engine = "qwen2vl-edge"
    variant = "bf16"
    grid = "bfloat16"
    packages = ("torch",)
    environment = None

    def __init__(self, folder: Path) -> None:
        self.torch = importlib.import_module("torch")
        runner = importlib.import_module("edge.runners.pytorch").PyTorchRunner
        self.runner = runner.load(folder, dtype="bfloat16")
        self.layout = self.runner.facts.family.layout
        ids = np.array(prompt_ids(json.loads((folder / "config.json").read_text())))
        self.before, self.after = ids[:1], ids[1 + VISUAL_TOKENS :]

    def answer(self, pixels: Picture) -> Times:
        started = self._now()
        seen = self.runner.encode(np.stack([pixels, pixels]))  # a picture is two equal frames
        encoded = self._now()
        cache = self.runner.cache(VISUAL_TOKENS + TEXT_TOKENS + NEW_TOKENS)
        token, at = self._read(cache, seen)
        first = self._now()
        for step in range(NEW_TOKENS - 1):
            token = self.runner.extend(cache, token, self.layout.text_positions(at + step, 1)).best
        rate = (NEW_TOKENS - 1) / (self._now() - first)
        return Times(1000 * (encoded - started), 1000 * (first - encoded), 1000 * (first - started), rate)

    def _read(self, cache: Any, seen: Any) -> tuple[Any, int]:
        """The whole prompt; the first new token, and its position."""
        text, extend = self.layout.text_positions, self.runner.extend
        extend(cache, self.before, text(0, 1), rows=0)
        extend(cache, seen, self.layout.group_positions(1, 0, *seen.grid), rows=0)
        at = self.layout.next_position(1, 1, *seen.grid)
        return extend(cache, self.after, text(at, len(self.after))).best, at + len(self.after)

    def peak_gpu_mib(self) -> float | None:
        cuda = self.torch.cuda
        return cuda.max_memory_allocated() / 2**20 if self.runner.device.type == "cuda" else None

    def _now(self) -> float:
        if self.runner.device.type == "cuda":
            self.torch.cuda.synchronize()
        return time.perf_counter()


if __name__ == "__main__":
    main(OursBf16)
