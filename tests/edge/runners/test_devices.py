"""Nothing mixes devices: every step runs on fake tensors of another device, which raise where devices meet.

`FakeTensorMode` gives such tensors without a GPU. What comes back to the host (the chosen token, logits) is not asked
for: a fake tensor has nothing to give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from edge.cache import KVCache, StaticKVCache
from edge.models.architecture import published_config
from edge.models.builder import ModelBuilder
from edge.models.qwen2_vl.layout import LAYOUT
from edge.models.random import random_plan
from edge.runners import Extension
from edge.runners.pytorch import PyTorchRunner
from quantize.quantized_weight import QuantizedWeight

DEVICE = torch.device("meta")  # stands for a GPU: indexing on "cuda" asks a driver that is not there


@pytest.fixture(params=["bfloat16", "int4", "int8"])
def runner(request: pytest.FixtureRequest) -> Iterator[PyTorchRunner]:
    config = published_config("pocket")
    plan = random_plan(request.param, config.tie_word_embeddings)
    with FakeTensorMode(allow_non_fake_inputs=True):
        builder = ModelBuilder(config, torch.bfloat16, DEVICE)
        for name, shape in builder.expected.items():
            layer, _, leaf = name.rpartition(".")
            matrix = builder.matrix(layer)
            variant = None if plan is None or matrix is None else plan(layer, matrix)
            if variant is None:
                builder.plain(name, torch.zeros(shape))
            elif leaf == "weight" and matrix is not None:
                n, k = matrix
                values = torch.zeros(matrix, dtype=torch.uint8, device=DEVICE)
                scales = torch.ones(n, variant.num_groups(k), dtype=torch.float16, device=DEVICE)
                zeros = torch.zeros_like(scales, dtype=torch.uint8)
                bias = builder.expected.get(f"{layer}.bias")
                weight = QuantizedWeight(variant, values, scales, zeros)
                builder.quantized(layer, weight, None if bias is None else torch.zeros(bias))
        yield PyTorchRunner.of(builder.finish(), config, "fake", (0,))


@pytest.mark.parametrize("kind", [KVCache, StaticKVCache])
def test_a_window_a_question_and_an_answer_stay_on_the_device(runner: PyTorchRunner, kind: type[KVCache]) -> None:
    there = PyTorchRunner(runner.model, runner.config, runner.facts, kind)
    assert there.device.type == DEVICE.type
    cache, other = there.cache(64), there.cache(64)
    there.extend(cache, np.arange(5), LAYOUT.text_positions(0, 5), rows=0)
    seen = there.encode(np.zeros((2, 56, 84, 3), dtype=np.uint8))
    there.extend(cache, seen, LAYOUT.group_positions(5, 0, 2, 3), rows=0)
    twin = cache.copy()
    there.extend(twin, np.arange(4), LAYOUT.text_positions(8, 4))
    twin.crop(11)
    token = Extension(cache, np.array([1]), LAYOUT.text_positions(8, 1))
    question = Extension(other, np.arange(3), LAYOUT.text_positions(0, 3))
    predictions: list[Any] = there.extend_batch([token, question])
    assert {prediction._logits.device.type for prediction in predictions} == {DEVICE.type}
    assert [tuple(prediction._logits.shape) for prediction in predictions] == [(1, there.facts.vocab_size)] * 2


def test_a_mixed_device_would_be_noticed(runner: PyTorchRunner) -> None:
    with pytest.raises(RuntimeError, match="device"):
        runner.model.logits(torch.zeros(1, 256, dtype=torch.bfloat16))
