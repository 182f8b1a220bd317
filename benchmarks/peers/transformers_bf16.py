"""transformers as its users run it: bfloat16 weights, PyTorch's fused attention, a growing cache."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.clocks import Clock, Stopwatch
from benchmarks.peers.adapter import Adapter, Unavailable, main
from benchmarks.peers.workload import NEW_TOKENS, Picture, Times, prompt_ids


class TransformersBf16(Adapter):
    """Generates with transformers; times are taken at the vision tower and at each token it streams."""

    engine = "transformers"
    variant = "bf16, SDPA"
    grid = "bfloat16"
    packages = ("transformers", "torch")
    environment = "transformers"
    options: Mapping[str, Any] = MappingProxyType({})  # of generate()

    def __init__(self, folder: Path) -> None:
        # It needs no torchvision, which its own environment lacks; one that cannot load its extension stops the import.
        sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
        self.torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
        self.device = "cuda" if self.torch.cuda.is_available() else "cpu"
        kind = transformers.Qwen2VLForConditionalGeneration
        model = kind.from_pretrained(folder, dtype=self.torch.bfloat16, attn_implementation="sdpa")
        self.model = model.to(self.device).eval()
        self.processor = _image_processor().from_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        self.prompt, self.picture_id = prompt_ids(config), config["image_token_id"]
        self.tower = Stopwatch(self._now)
        self.model.model.visual.register_forward_pre_hook(lambda *_: self.tower.start())
        self.model.model.visual.register_forward_hook(lambda *_: self.tower.stop())

    def answer(self, pixels: Picture) -> Times:
        tokens = Clock(self._now)
        started = self._now()
        seen = self.processor(images=[pixels], return_tensors="pt").to(self.device)
        prepared = self._now()
        ids = self.torch.tensor([self.prompt], device=self.device)
        self.model.generate(
            input_ids=ids, attention_mask=self.torch.ones_like(ids),
            mm_token_type_ids=(ids == self.picture_id).int(), **seen,
            do_sample=False, min_new_tokens=NEW_TOKENS, max_new_tokens=NEW_TOKENS, streamer=tokens, **self.options,
        )  # fmt: skip
        vision, first = prepared - started + self.tower.seconds, tokens.at[0] - started
        rate = (len(tokens.at) - 1) / (tokens.at[-1] - tokens.at[0])
        return Times(1000 * vision, 1000 * (first - vision), 1000 * first, rate)

    def peak_gpu_mib(self) -> float | None:
        return self.torch.cuda.max_memory_allocated() / 2**20 if self.device == "cuda" else None

    def _now(self) -> float:
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return time.perf_counter()


def _image_processor() -> Any:
    """The one that needs no torchvision."""
    package = "transformers.models.qwen2_vl"
    for module, name in (
        (f"{package}.image_processing_pil_qwen2_vl", "Qwen2VLImageProcessorPil"),
        (f"{package}.image_processing_qwen2_vl", "Qwen2VLImageProcessor"),
    ):
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise Unavailable("this transformers has no image processor for Qwen2-VL that works here")


if __name__ == "__main__":
    main(TransformersBf16)
