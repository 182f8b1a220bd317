"""ONNX Runtime GenAI: the language model alone, in INT4 blocks of 128.

Its model builder knows Qwen2 and Qwen2.5-VL, but not Qwen2-VL. So the language model is taken out of the checkpoint
as a plain Qwen2, whose positions have one axis instead of three, and reads 288 tokens of text.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.adapter import Adapter, main
from benchmarks.peers.workload import NEW_TOKENS, TEXT_TOKENS, VISUAL_TOKENS, WORD_ID, Picture, Times

BLOCK = 128
PROMPT = VISUAL_TOKENS + TEXT_TOKENS
VISION = ("visual.", "model.visual.")


class OnnxRuntimeInt4(Adapter):
    """Generates token by token with ONNX Runtime GenAI."""

    engine = "ONNX Runtime GenAI"
    variant = f"int4 b{BLOCK}, language model only"
    grid = "int4-g128"
    note = "no vision: its builder does not know Qwen2-VL; language model as plain Qwen2, 288 text tokens"
    packages = ("onnxruntime-genai", "onnxruntime")
    environment = "onnxruntime_genai"

    @classmethod
    def convert(cls, model: Path, out: Path) -> None:
        plain, cache = out.with_name("plain-qwen2"), out.with_name("builder-cache")
        plain.mkdir(exist_ok=True)
        _write_plain(model, plain)
        folders = ["-i", str(plain), "-o", str(out), "-c", str(cache)]
        options = ["-p", "int4", "-e", "cpu", "--extra_options", f"block_size={BLOCK}", "int4_accuracy_level=4"]
        subprocess.run([sys.executable, "-m", "onnxruntime_genai.models.builder", *folders, *options], check=True)
        for folder in (plain, cache):
            shutil.rmtree(folder, ignore_errors=True)

    def __init__(self, folder: Path) -> None:
        self.genai = importlib.import_module("onnxruntime_genai")
        self.model = self.genai.Model(str(folder))

    def answer(self, pixels: Picture) -> Times:
        del pixels  # it cannot see
        settings = self.genai.GeneratorParams(self.model)
        length = PROMPT + NEW_TOKENS
        settings.set_search_options(do_sample=False, min_length=length, max_length=length)
        generator = self.genai.Generator(self.model, settings)
        started = time.perf_counter()
        generator.append_tokens([WORD_ID] * PROMPT)
        generator.generate_next_token()
        first = time.perf_counter()
        for _ in range(NEW_TOKENS - 1):
            generator.generate_next_token()
        rate = (NEW_TOKENS - 1) / (time.perf_counter() - first)
        return Times(None, 1000 * (first - started), None, rate)


def _write_plain(model: Path, out: Path) -> None:
    """The language model of a Qwen2-VL as a Qwen2."""
    safetensors = importlib.import_module("safetensors")
    save = importlib.import_module("safetensors.torch").save_file
    tensors: dict[str, Any] = {}
    for path in sorted(model.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not name.startswith(VISION)]  # noqa: SIM118  (no mapping)
            tensors |= {name: file.get_tensor(name) for name in names}
    save(tensors, out / "model.safetensors", {"format": "pt"})
    for path in model.iterdir():
        if "token" in path.name or path.name in ("merges.txt", "vocab.json", "generation_config.json"):
            shutil.copy(path, out / path.name)
    (out / "config.json").write_text(json.dumps(_plain(json.loads((model / "config.json").read_text()))))


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    left_out = ("vision_config", "rope_scaling", "image_token_id", "video_token_id")
    rest = {name: value for name, value in config.items() if name not in left_out}
    return rest | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


if __name__ == "__main__":
    main(OnnxRuntimeInt4)
