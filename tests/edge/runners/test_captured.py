"""Steps as a graph has them, launched piece by piece: the same answers as over a cache of the host's length."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from edge.cache import StaticKVCache
from edge.hub import POCKET
from edge.models.qwen2_vl.layout import LAYOUT
from edge.runners.captured import ATTEMPTS, Replay
from edge.runners.pytorch import PyTorchRunner

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 56, 84, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain() -> PyTorchRunner:
    return PyTorchRunner.load(POCKET, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def stepping(plain: PyTorchRunner) -> PyTorchRunner:
    return PyTorchRunner(plain.model, plain.config, plain.facts, StaticKVCache)


@pytest.mark.parametrize("count, rows", [(1, 1), (3, 1), (4, 4), (9, 2), (40, 1), (64, 0), (65, 3)])
def test_rows_that_mean_nothing_change_nothing(
    plain: PyTorchRunner, stepping: PyTorchRunner, count: int, rows: int
) -> None:
    found = []
    for runner in (plain, stepping):
        cache = runner.cache(12 + count + 1)  # no room to spare
        runner.extend(cache, np.arange(6), LAYOUT.text_positions(0, 6), rows=0)
        runner.extend(cache, runner.encode(FRAMES), LAYOUT.group_positions(6, 0, 2, 3), rows=0)
        tokens = np.random.default_rng(count).integers(0, 400, count)
        prediction = runner.extend(cache, tokens, LAYOUT.text_positions(9, count), rows=rows)
        after = runner.extend(cache, np.array([7]), LAYOUT.text_positions(9 + count, 1))
        assert cache.length == 13 + count
        found.append((prediction.logits(), prediction.best, after.logits()))
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=2e-4)


def test_what_a_step_gave_outlives_the_next_one(stepping: PyTorchRunner) -> None:
    cache = stepping.cache(20)
    first = stepping.extend(cache, np.array([5]), LAYOUT.text_positions(0, 1))
    before = first.logits().copy()
    stepping.extend(cache, np.array([9]), LAYOUT.text_positions(1, 1))
    assert np.array_equal(first.logits(), before)


def test_steps_keep_no_cache_alive(stepping: PyTorchRunner) -> None:
    cache = stepping.cache(20)
    stepping.extend(cache, np.array([5]), LAYOUT.text_positions(0, 1))
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("failures", [0, 1, ATTEMPTS])
def test_a_capture_that_fails_is_tried_again_and_then_done_without(
    failures: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that spoils the first captures; Python's collector rests during each, and works again afterwards."""
    tried: list[bool] = []

    def capture(replay: Replay) -> None:
        tried.append(gc.isenabled())
        if len(tried) <= failures:
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(Replay, "_capture", capture)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    replay = Replay(lambda: (torch.ones(1),), is_captured=True)

    assert tried == [False] * min(failures + 1, ATTEMPTS)
    assert gc.isenabled()
    assert ("cannot be captured" in caplog.text) is (failures == ATTEMPTS)
    assert torch.equal(replay()[0], torch.ones(1))
