"""A context that has grown, answered, cropped and rebuilt equals a fresh one of the same window, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.context import Context
from edge.engine.tokenizer import Tokenizer
from edge.hub import POCKET
from edge.models.qwen2_vl.layout import LAYOUT
from edge.runners.pytorch import PyTorchRunner
from stream.frame import Group

QUESTIONS = ("Describe the video.", "Find the red circle.", "Is anything moving?", "What changed?")
MAX_GROUPS = 5


class Recorder(PyTorchRunner):
    """Remembers what the last answer was made of: the keys and values before it, and every row of logits."""

    def watch(self) -> None:
        self.rows: list[torch.Tensor] = []
        self.kv: torch.Tensor | None = None

    def extend_batch(self, batch: Any) -> Any:
        ((cache, rows),) = [(part.cache, part.rows) for part in batch]
        if rows and self.kv is None:
            self.kv = cache.kv[..., : cache.length, :].clone()
        (prediction,) = super().extend_batch(batch)
        if rows:
            self.rows.append(torch.from_numpy(prediction.logits().copy()))
        return [prediction]


GPU = pytest.param(("cuda", "bfloat16"), marks=pytest.mark.gpu, id="cuda-bfloat16")


@pytest.fixture(scope="module", params=[("cpu", "float32"), ("cpu", "bfloat16"), GPU], ids=str)
def runner(request: pytest.FixtureRequest) -> Recorder:
    device, dtype = request.param
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    loaded = PyTorchRunner.load(POCKET, device=device, dtype=dtype)
    recorder = Recorder(loaded.model, loaded.config, loaded.facts)
    recorder.watch()
    return recorder


@pytest.fixture(scope="module")
def open_context(runner: Recorder) -> Callable[[], Context]:
    tokenizer = Tokenizer.load(POCKET)
    return lambda: Context(runner, tokenizer, MAX_GROUPS, drafts=False)


def group(index: int, seed: int = 0, size: tuple[int, int] = (56, 84)) -> Group:
    pixels = np.random.default_rng([seed, index]).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    return Group(index, pixels, (index, index + 0.5), 0.0, "synthetic", 2, pixels[1])


def state(runner: Recorder, context: Context, question: str) -> tuple[torch.Tensor, torch.Tensor, str]:
    """KV of the window in every layer, logits of every row, and the answer's text."""
    runner.watch()
    text = "".join(context.answer(question, max_tokens=12))
    assert runner.kv is not None
    return runner.kv, torch.cat(runner.rows), text


def assert_same(runner: Recorder, reused: Context, fresh: Context, question: str) -> None:
    kv, logits, text = state(runner, reused, question)
    fresh_kv, fresh_logits, fresh_text = state(runner, fresh, question)
    assert torch.equal(kv, fresh_kv)
    assert torch.equal(logits, fresh_logits)
    assert text == fresh_text


def fresh_context(open_context: Callable[[], Context], groups: dict[int, Group], context: Context) -> Context:
    window = context.window
    assert window is not None
    fresh = open_context()
    for index in range(window.first, window.last + 1):
        fresh.append(groups[index])
    return fresh


def test_every_step_of_a_growing_and_rebuilt_window_is_bit_identical(
    runner: Recorder, open_context: Callable[[], Context]
) -> None:
    context, groups = open_context(), {}
    for index in range(13):
        groups[index] = group(index)
        context.append(groups[index])
        assert_same(runner, context, fresh_context(open_context, groups, context), QUESTIONS[index % 4])
    assert context.window is not None and len(context.window) <= MAX_GROUPS


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["append", "append", "ask", "abandon", "gap", "twin"]), min_size=3, max_size=14))
def test_no_history_leaves_a_trace(runner: Recorder, open_context: Callable[[], Context], actions: list[str]) -> None:
    """Adversarial histories: answers read or abandoned midway, gaps, groups equal to the one before."""
    context, groups, index = open_context(), {}, 0
    for action in ["append", *actions]:
        if action in ("append", "gap", "twin"):
            index += 3 if action == "gap" else 1
            groups[index] = group(index, seed=1)
            if action == "twin" and index - 1 in groups:
                groups[index] = Group(index, groups[index - 1].pixels, (index, index + 0.5), 0.0, "synthetic", 2,
                                      groups[index - 1].picture)  # fmt: skip
            context.append(groups[index])
        elif action == "ask":
            "".join(context.answer(QUESTIONS[index % 4], max_tokens=6))
        else:
            next(iter(context.answer(QUESTIONS[index % 4], max_tokens=6)), None)
    assert_same(runner, context, fresh_context(open_context, groups, context), "Describe the video.")


def test_another_size_of_frames_starts_anew(runner: Recorder, open_context: Callable[[], Context]) -> None:
    context, groups = open_context(), {}
    for index in range(4):
        groups[index] = group(index, size=(56, 84) if index < 2 else (84, 56))
        context.append(groups[index])
    assert context.window is not None and context.window.first == 2
    assert_same(runner, context, fresh_context(open_context, groups, context), "What changed?")


def test_a_cache_that_grew_for_a_long_question_is_bit_identical(
    runner: Recorder, open_context: Callable[[], Context]
) -> None:
    context, groups = open_context(), {}
    for index in range(3):
        groups[index] = group(index)
        context.append(groups[index])
    "".join(context.answer("Is there a circle? " * 200, max_tokens=3))
    assert_same(runner, context, fresh_context(open_context, groups, context), "What changed?")


def test_a_copied_cache_is_independent(runner: Recorder) -> None:
    tokens = np.arange(20)
    cache = runner.cache(40)
    runner.extend(cache, tokens, LAYOUT.text_positions(0, 20), rows=0)
    twin = cache.copy()
    one = runner.extend(cache, tokens[:5], LAYOUT.text_positions(20, 5)).logits()
    runner.extend(twin, tokens[5:10], LAYOUT.text_positions(20, 5))
    twin.crop(20)
    assert np.array_equal(runner.extend(twin, tokens[:5], LAYOUT.text_positions(20, 5)).logits(), one)
    with pytest.raises(ValueError, match="do not fit"):
        runner.extend(twin, tokens, LAYOUT.text_positions(25, 20))
    with pytest.raises(ValueError, match="crop"):
        twin.crop(26)
