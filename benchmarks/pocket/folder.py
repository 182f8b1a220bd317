"""Pocket's folder: config, tokenizer and processor files of an ordinary Qwen2-VL, only small.

The tokenizer is Qwen2's own kind (byte-level BPE, one digit a token) with exactly Qwen2-VL's special
tokens and chat template, its merges learned from the lessons' sentences. It was made once and is kept in
tokenizer.json, so that other lessons do not change what a token is; `python -m benchmarks.pocket.folder`
makes a new one, after which pocket must be trained from nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from edge.pocket.lessons import STRANGERS, lessons, observe
from stream.sources.scene import COLOURS, SHAPES, SIZES, Scene

TOKENIZER = Path(__file__).parent / "tokenizer.json"
VOCAB_SIZE = 512
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
FIRST_SPECIAL = VOCAB_SIZE - len(SPECIAL_TOKENS)
TOKEN_ID = {token: FIRST_SPECIAL + index for index, token in enumerate(SPECIAL_TOKENS)}

# How Qwen2 cuts text into words before merging; digits stand alone.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "model_type": "qwen2_vl",
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-06,
    # So small a picture needs fast angles: at the usual 10,000 the slowest third of a head, which turns with the
    # column, would turn by 0.003 a column, and left could not be told from right.
    "rope_theta": 10.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
    "use_sliding_window": False,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": TOKEN_ID["<|endoftext|>"],
    "eos_token_id": TOKEN_ID["<|im_end|>"],
    "vision_start_token_id": TOKEN_ID["<|vision_start|>"],
    "vision_end_token_id": TOKEN_ID["<|vision_end|>"],
    "vision_token_id": TOKEN_ID["<|vision_pad|>"],
    "image_token_id": TOKEN_ID["<|image_pad|>"],
    "video_token_id": TOKEN_ID["<|video_pad|>"],
    "vision_config": {
        "model_type": "qwen2_vl",
        "depth": 4,
        "embed_dim": 256,
        "num_heads": 4,
        "mlp_ratio": 2,
        "hidden_size": 256,
        "hidden_act": "quick_gelu",
        "in_chans": 3,
        "patch_size": 14,
        "spatial_patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
}

# 4:3 becomes 168x112, 16:9 becomes 196x112, a square 140x140: the sizes the lessons are given at.
PIXELS = {"min_pixels": 112 * 112, "max_pixels": 22400}


def write_folder(folder: Path) -> None:
    """Everything of the model folder but the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    _write(folder / "config.json", CONFIG)
    _write(folder / "tokenizer_config.json", _tokenizer_config())
    _write(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    _write(folder / "preprocessor_config.json", _preprocessor_config())
    eos = [TOKEN_ID["<|im_end|>"], TOKEN_ID["<|endoftext|>"]]
    pad = TOKEN_ID["<|endoftext|>"]
    _write(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": pad, "do_sample": False})


def read_tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER))


def train_tokenizer() -> Tokenizer:
    """Deterministic: the corpus is drawn from fixed seeds."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    _fill(tokenizer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    assert tokenizer.token_to_id("<|video_pad|>") == VOCAB_SIZE - 1, tokenizer.get_vocab_size()
    return tokenizer


def _corpus() -> list[str]:
    """The lessons of two hundred scenes and every word often enough to become one token."""
    rng = np.random.default_rng(0)
    texts = ["system\n", "user\n", "assistant\n", "You are a helpful assistant."] * 50
    words = [*COLOURS, *SHAPES, *SIZES, *STRANGERS, "shape", "shapes", "crosses", *(f"{s}s" for s in SHAPES)]
    texts += [f" {word}" for word in words for _ in range(60)]
    for seed in range(200):
        truth = observe(Scene(seed, duration=8.0), (5.0, 5.5))
        texts += [text for lesson in lessons(truth, rng, 12) for text in (lesson.question, lesson.answer)]
    return [part for text in texts for part in text.replace("<|", "\0<|").replace("|>", "|>\0").split("\0")
            if part and not part.startswith("<|")]  # fmt: skip


def _fill(tokenizer: Tokenizer) -> None:
    """Unused slots keep the vocabulary's size a multiple of 128, as the checkpoints' padded heads do."""
    missing = FIRST_SPECIAL - tokenizer.get_vocab_size()
    tokenizer.add_tokens([AddedToken(f"<|unused_{index}|>", normalized=False) for index in range(missing)])


def _tokenizer_config() -> dict[str, Any]:
    tokens = {
        str(TOKEN_ID[token]): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": True,
        }
        for token in SPECIAL_TOKENS
    }  # fmt: skip
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": tokens,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": CONFIG["max_position_embeddings"],
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def _preprocessor_config() -> dict[str, Any]:
    return {
        **PIXELS,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }


def _write(path: Path, fields: dict[str, Any]) -> None:
    path.write_text(json.dumps(fields, indent=2) + "\n")


if __name__ == "__main__":
    train_tokenizer().save(str(TOKENIZER), pretty=False)
