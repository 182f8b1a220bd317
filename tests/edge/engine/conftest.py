"""A small tokenizer of Qwen2's kind, and a runner that computes nothing and remembers everything."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from edge.engine.tokenizer import Tokenizer
from edge.hub import POCKET
from edge.models.qwen2_vl import QWEN2_VL
from edge.runners import Facts
from stream.frame import Group

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = json.loads((POCKET / "chat_template.json").read_text())["chat_template"]  # Qwen2-VL's own
CORPUS = ["You are a helpful assistant.", "system\nuser\nassistant\n", "Yes No yes no", " Yes No yes no"] * 9
CORPUS += ["Describe the video. 你好 Is there a dog in the picture?\n\n"] * 9


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.NFC()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(WORDS), "isolated"), byte_level])
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    folder = tmp_path_factory.mktemp("tokenizer")
    backend.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return Tokenizer.load(tokenizer_folder)


@dataclass
class FakeEmbeddings:
    grid: tuple[int, int]
    digest: bytes


@dataclass
class FakeCache:
    """Each entry digests everything up to its token, so equal last entries mean equal caches."""

    capacity: int
    calls: list[tuple]
    entries: list[bytes] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.entries)

    def crop(self, length: int) -> None:
        assert length <= self.length
        self.calls.append(("crop", length))
        del self.entries[length:]

    def copy(self) -> FakeCache:
        return FakeCache(self.capacity, self.calls, list(self.entries))


class FakePrediction:
    def __init__(self, logits: np.ndarray | None, calls: list[tuple]) -> None:
        self._logits = logits
        self._calls = calls

    @property
    def best(self) -> np.ndarray:
        assert self._logits is not None
        return self._logits.argmax(axis=1)

    def logits(self) -> np.ndarray:
        assert self._logits is not None
        self._calls.append(("logits",))
        return self._logits


class FakeRunner:
    """Says what is in `script`, token by token, then stops; without one, what the cache leads to."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.calls: list[tuple] = []
        self.script: deque[int] | None = None
        self.caches: list[FakeCache] = []
        self.broken: Exception | None = None  # raised by the next extend

    def say(self, tokens: Iterable[int]) -> None:
        self.script = deque(map(int, tokens))

    def named(self, *names: str) -> list[tuple]:
        return [call for call in self.calls if call[0] in names]

    def encode(self, frames: np.ndarray) -> FakeEmbeddings:
        self.calls.append(("encode", frames.shape))
        _, height, width, _ = frames.shape
        grid = (height // self.facts.cell, width // self.facts.cell)
        return FakeEmbeddings(grid, hashlib.sha256(frames.tobytes()).digest())

    def cache(self, capacity: int) -> FakeCache:
        self.calls.append(("cache", capacity))
        self.caches.append(FakeCache(capacity, self.calls))
        return self.caches[-1]

    def extend(self, cache: FakeCache, inputs, positions: np.ndarray, rows: int = 1) -> FakePrediction:
        visual = isinstance(inputs, FakeEmbeddings)
        num_tokens = inputs.grid[0] * inputs.grid[1] if visual else len(inputs)
        assert positions.shape == (3, num_tokens)
        if self.broken:
            error, self.broken = self.broken, None
            raise error
        if cache.length + num_tokens > cache.capacity:
            raise ValueError("the cache has no room")
        kind = "group" if visual else "text"
        self.calls.append(("extend", kind, cache.length, num_tokens, rows, int(positions[0, 0])))
        for column in range(num_tokens):
            what = inputs.digest + bytes([column]) if visual else str(int(inputs[column])).encode()
            before = cache.entries[-1] if cache.entries else b""
            where = positions[:, column].tobytes()
            cache.entries.append(hashlib.sha256(before + what + where).digest())
        assert rows <= 1 or self.script is None, "what a script says next does not depend on what was written"
        after = [self.logits_after(entry) for entry in cache.entries[cache.length - rows :]]
        return FakePrediction(np.stack(after) if rows else None, self.calls)

    def logits_after(self, entry: bytes) -> np.ndarray:
        seed = int.from_bytes(entry[:8], "little")
        logits = np.random.default_rng(seed).random(self.facts.vocab_size, dtype=np.float32)
        if self.script is not None:
            logits[self.script.popleft() if self.script else self.facts.stop_tokens[0]] += 10
        return logits


@pytest.fixture
def make_runner(tokenizer: Tokenizer) -> Callable[..., FakeRunner]:
    def make(max_positions: int = 4096, tokenizer: Tokenizer = tokenizer) -> FakeRunner:
        special = tokenizer.special
        facts = Facts(
            name="fake",
            variant="none",
            is_quantized=False,
            dtype="none",
            weight_bytes=0,
            vocab_size=max(special.values()) + 1,
            max_positions=max_positions,
            image_token=special["<|image_pad|>"],
            video_token=special["<|video_pad|>"],
            stop_tokens=(special["<|im_end|>"], special["<|endoftext|>"]),
            cell=28,
            family=QWEN2_VL,
        )
        return FakeRunner(facts)

    return make


@pytest.fixture
def runner(make_runner: Callable[..., FakeRunner]) -> FakeRunner:
    return make_runner()


@pytest.fixture
def make_group() -> Callable[..., Group]:
    def make(index: int, size: tuple[int, int] = (56, 84), shade: int | None = None) -> Group:
        pixels = np.full((2, *size, 3), index % 256 if shade is None else shade, dtype=np.uint8)
        return Group(index, pixels, (index * 1.0, index + 0.5), index + 0.6, "synthetic", 2, pixels[1])

    return make
