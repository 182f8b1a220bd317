"""A runner with a clock beside it computes what it computed before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import edge
from edge.engine.engine import Engine
from edge.engine.prompt import stream_suffix
from edge.hub import POCKET
from edge.models.architecture import planned_weights, read_config
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.qwen2_vl.layout import LAYOUT
from edge.profiling.pipeline_steps import padded_question, scripted_answer
from edge.profiling.spans import Spans, Stage
from edge.profiling.timed import APPEND, PATCHIFY, PREFIX, QUESTION, TOKEN, VISION, TimedRunner
from stream.frame import Group
from stream.sources.scene import Scene

SIZE = (112, 168)
ENGINE = edge.load("pocket").engine
CONFIG = read_config(POCKET)
COSTS = Qwen2VLCosts(CONFIG, planned_weights(CONFIG, None, torch.float32), itemsize=4)


def groups(count: int) -> list[Group]:
    scene = Scene(3, SIZE[1], SIZE[0], duration=10.0)
    frames = [scene.render(t / 2, *SIZE) for t in range(2 * count)]
    return [
        Group(i, np.stack(frames[2 * i : 2 * i + 2]), (i, i + 0.5), 0.0, "synthetic", 2, frames[2 * i])
        for i in range(count)
    ]


def timed(num_tokens: int = 12) -> tuple[Engine, Spans]:
    spans = Spans()
    runner = TimedRunner(ENGINE.runner, COSTS, spans, scripted_answer(ENGINE.tokenizer, num_tokens))
    return Engine(runner, ENGINE.tokenizer, drafts=False), spans  # its steps are told apart by their tokens


def test_every_step_leaves_one_span() -> None:
    engine, spans = timed()
    context = engine.open(8)
    for group in groups(3):
        context.append(group)
        context.answer("What happens?", max_tokens=12).read()

    counts = {name: len(spans.named(name)) for name in spans.names()}
    assert counts == {PATCHIFY: 3, VISION: 3, PREFIX: 1, APPEND: 3, QUESTION: 3, TOKEN: 3 * 11}


def test_answers_are_as_scripted_whatever_the_model_would_say() -> None:
    engine, _ = timed(20)
    context = engine.open(8)
    context.append(groups(1)[0])

    reply = context.answer("What happens?", max_tokens=20)
    reply.read()

    assert reply.usage.generated_tokens == 20 and reply.finish == "length"
    assert reply.text == ENGINE.tokenizer.decode(scripted_answer(ENGINE.tokenizer, 20))


def test_what_the_model_expects_after_the_question_is_untouched() -> None:
    engine, _ = timed()
    found = []
    for each in (engine, ENGINE):
        context = each.open(8)
        context.append(groups(1)[0])
        found.append(context.answer("What happens?").prefill.prediction.logits())

    np.testing.assert_array_equal(*found)


def test_costs_grow_with_the_context() -> None:
    engine, spans = timed()
    context = engine.open(8)
    for group in groups(2):
        context.append(group)
        context.answer("What happens?", max_tokens=4).read()

    tokens = spans.named(TOKEN)
    contexts = [span.context for span in tokens]
    assert contexts[1] == contexts[0] + 1 and contexts[3] > contexts[2]
    assert all(span.cost == COSTS.extend(1, span.context, rows=1) for span in tokens)


@pytest.mark.parametrize("num_tokens", [32, 50, 100])
def test_a_question_takes_the_tokens_it_should_or_one_less(num_tokens: int) -> None:
    suffix = stream_suffix(ENGINE.tokenizer, LAYOUT, padded_question(ENGINE.tokenizer, LAYOUT, num_tokens))

    assert len(suffix) in (num_tokens - 1, num_tokens)  # a word and its space may be two tokens


def test_clocks_wait_until_the_device_is_done() -> None:
    waited: list[int] = []
    spans = Spans(lambda: waited.append(1))
    runner = TimedRunner(ENGINE.runner, COSTS, spans, scripted_answer(ENGINE.tokenizer, 4))

    runner.encode(groups(1)[0].pixels)
    cache = runner.cache(8)
    runner.extend(cache, np.zeros(2, dtype=np.int64), LAYOUT.text_positions(0, 2), rows=0)

    assert len(waited) == 4  # before the patches, between them and the tower, after it, and after the tokens


def test_a_stage_is_its_spans_in_numbers() -> None:
    spans = Spans()
    for start in range(100):
        spans.add("step", start, start + start / 100)

    stage = Stage.of("step", spans.named("step"))

    assert (stage.n, stage.p50, stage.p99) == (100, pytest.approx(0.495), pytest.approx(0.9801))
    assert stage.total == pytest.approx(49.5)
