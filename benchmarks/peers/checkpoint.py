"""The model everybody runs: random weights at the true shape of Qwen2-VL-2B, as an ordinary Hugging Face folder.

Speed and memory do not depend on the values. Some converters want to know the tokenizer they meet, so the real one
can be put beside the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edge.models.random import write_random_folder

SHAPE = "2b"
IDS = {
    "bos_token_id": "<|endoftext|>", "eos_token_id": "<|im_end|>", "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>", "vision_token_id": "<|vision_pad|>", "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}  # fmt: skip
OURS = ("config.json", "preprocessor_config.json")  # of the shape, and not of the tokenizer


def random_checkpoint(cache: Path, tokenizer: Path | None, shape: str = SHAPE) -> Path:
    """The folder of the model in `cache`, written if it is not there."""
    folder = cache / f"random-{shape}{'' if tokenizer is None else f'-{tokenizer.name}'}"
    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_random_folder(shape, unfinished)
    if tokenizer is not None:
        _take_tokenizer(unfinished, tokenizer)
    return unfinished.rename(folder)


def _take_tokenizer(folder: Path, tokenizer: Path) -> None:
    for path in folder.glob("*token*.json"):
        path.unlink()
    for path in [*tokenizer.glob("*.json"), *tokenizer.glob("*.jinja"), *tokenizer.glob("*.txt")]:
        if path.name not in OURS:
            (folder / path.name).write_bytes(path.read_bytes())
    added = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"]
    number = {token["content"]: token["id"] for token in added}
    ids = {name: number[token] for name, token in IDS.items()}
    _update(folder / "config.json", ids)
    stop = {"eos_token_id": [ids["eos_token_id"], ids["bos_token_id"]], "pad_token_id": ids["bos_token_id"]}
    _update(folder / "generation_config.json", stop)


def _update(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values, indent=2) + "\n")
