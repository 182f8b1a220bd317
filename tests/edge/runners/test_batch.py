"""Several sequences in one pass: each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge.cache import StaticKVCache
from edge.hub import POCKET
from edge.models.qwen2_vl.layout import LAYOUT
from edge.runners import Extension
from edge.runners.pytorch import PyTorchRunner

LENGTHS = (3, 40, 1, 17)


@pytest.fixture(scope="module", params=["float32", "bfloat16", "int4", "static"])
def runner(request: pytest.FixtureRequest) -> PyTorchRunner:
    if request.param == "int4":
        return PyTorchRunner.random("pocket", "int4", device="cpu")
    if request.param == "static":
        made = PyTorchRunner.load(POCKET, device="cpu")
        return PyTorchRunner(made.model, made.config, made.facts, StaticKVCache)
    return PyTorchRunner.load(POCKET, device="cpu", dtype=request.param)


@pytest.fixture
def begin(runner: PyTorchRunner) -> Callable[[int], Extension]:
    """A sequence of its own length, and its next token."""

    def make(number: int) -> Extension:
        length = LENGTHS[number]
        tokens = np.random.default_rng(number).integers(0, 400, length + 1)
        cache = runner.cache(64)
        runner.extend(cache, tokens[:length], LAYOUT.text_positions(0, length), rows=0)
        return Extension(cache, tokens[length:], LAYOUT.text_positions(length, 1))

    return make


def test_a_token_of_each_of_several_sequences_is_that_of_each_alone(
    runner: PyTorchRunner, begin: Callable[[int], Extension]
) -> None:
    alone = [runner.extend_batch([begin(number)])[0].logits() for number in range(4)]
    together = [prediction.logits() for prediction in runner.extend_batch([begin(number) for number in range(4)])]
    for one, found in zip(alone, together, strict=True):
        assert found.shape == one.shape == (1, runner.facts.vocab_size)
        if runner.facts.is_quantized and runner.facts.dtype == "bfloat16":
            assert np.array_equal(one, found)  # these kernels work row by row
        # bfloat16 has eight bits, and rows are added up in another order where there are several
        close = 2**-4 if runner.facts.dtype == "bfloat16" else 1e-4
        assert np.allclose(one, found, rtol=close, atol=close * np.abs(one).max())


def test_who_shares_a_pass_does_not_change_a_sequence(runner: PyTorchRunner, begin: Callable[[int], Extension]) -> None:
    first = runner.extend_batch([begin(0), begin(1), begin(2)])[0].logits()
    second = runner.extend_batch([begin(0), begin(3), begin(1)])[0].logits()
    assert np.array_equal(first, second)


def test_text_pictures_and_questions_share_a_pass(runner: PyTorchRunner, begin: Callable[[int], Extension]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 56, 84, 3), dtype=np.uint8)
    group = Extension(runner.cache(20), runner.encode(frames), LAYOUT.group_positions(0, 0, 2, 3), rows=0)
    question = Extension(runner.cache(20), np.arange(9), LAYOUT.text_positions(0, 9), rows=3)
    nothing, three, one = runner.extend_batch([group, question, begin(1)])
    assert [len(part.best) for part in (nothing, three, one)] == [0, 3, 1]
    assert (group.cache.length, question.cache.length) == (6, 9)


def test_a_sequence_without_room_changes_none(runner: PyTorchRunner, begin: Callable[[int], Extension]) -> None:
    sound, full = begin(0), begin(1)
    full.cache.crop(40)
    runner.extend(full.cache, np.zeros(24, dtype=np.int64), LAYOUT.text_positions(40, 24), rows=0)
    with pytest.raises(ValueError, match="do not fit"):
        runner.extend_batch([sound, full])
    assert sound.cache.length == LENGTHS[0]


def test_no_row_is_multiplied_with_the_head_where_none_is_wanted(
    runner: PyTorchRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(runner.model), "logits", lambda *_: pytest.fail("the head was used"))
    prediction = runner.extend(runner.cache(9), np.arange(4), LAYOUT.text_positions(0, 4), rows=0)
    assert prediction.logits().shape == (0, runner.facts.vocab_size)
