"""Two models asked the same: nothing is lost beside itself, and expectations are those that a stream has."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import edge
from edge.engine.engine import Engine
from edge.errors import NotComparable, PromptTooLong
from edge.examples.example import Example
from edge.examples.scenes import about, held_out_scene
from edge.quality.contrast import Contrast, Listener
from edge.quality.losses import Losses


@pytest.fixture(scope="module")
def engine() -> Engine:
    return edge.load("pocket", device="cpu").engine


def shade(question: str, answer: str = "") -> Example:
    return Example.of("video", [np.full((2, 112, 112, 3), 90, np.uint8)], question, answer)


def test_divergence_is_that_of_the_two_distributions() -> None:
    losses = Losses()
    p, q = np.array([[0.7, 0.2, 0.1]]), np.array([[0.2, 0.5, 0.3]])
    losses.add(np.log(p).astype(np.float32), np.log(q).astype(np.float32) + 5, np.array([1]))
    assert np.isclose(losses.each_kl[0], (p * np.log(p / q)).sum())
    assert losses.top1 == 0
    assert losses.perplexities == pytest.approx((1 / 0.2, 1 / 0.5))


def test_an_answer_that_nobody_vouches_for_tells_nothing_of_perplexity(engine: Engine) -> None:
    contrast = Contrast(engine, [engine])
    before, after = contrast.ask(shade("Describe the video."))
    (losses,) = contrast.losses
    assert before == after and losses.perplexities is None
    assert len(losses.each_kl) == len(engine.tokenizer.encode(f"{before}<|im_end|>"))
    assert not losses.each_kl.any() and losses.top1 == 1


def test_expectations_are_those_of_a_streams_context(engine: Engine) -> None:
    """With the true answer laid before it, the model expects what it does when it writes that answer itself."""
    window, _, asked = held_out_scene(3, engine.limits)
    listener, spoken = Listener(engine), engine.tokenizer.encode(f"{asked[0].answer}<|im_end|>")
    logits = listener.expect(about(window, asked[0]).conversation, spoken)
    context = engine.open(len(window))
    for group in window:
        context.append(group)
    written = engine.tokenizer.encode(context.answer(asked[0].question, max_tokens=160).read())
    agreed = 0
    for best, token in zip(logits.argmax(-1), written, strict=False):
        if best != token:
            break
        agreed += 1
    assert logits.shape == (len(spoken), engine.runner.facts.vocab_size)
    assert agreed >= min(8, len(written))


def test_expectations_do_not_depend_on_what_was_asked_before(engine: Engine) -> None:
    listener, fresh = Listener(engine), Listener(engine)
    answer = listener.spoken("There is nothing here.")
    listener.expect(shade("Is there a red star?").conversation, answer)
    again = listener.expect(shade("What do you see?").conversation, answer)
    alone = fresh.expect(shade("What do you see?").conversation, answer)
    assert np.allclose(again, alone, atol=1e-3)


def test_an_example_that_does_not_fit_is_counted_nowhere(engine: Engine) -> None:
    contrast = Contrast(engine, [engine])
    contrast.ask(shade("Describe the video.", "There is nothing here."))
    tokens = len(contrast.losses[0].each_kl)
    for example in (shade("red " * 40_000, "No."), shade("Is it?", "red " * 40_000)):
        with pytest.raises(PromptTooLong):
            contrast.ask(example)
    assert len(contrast.losses[0].each_kl) == tokens


def test_models_of_other_tokens_are_refused(engine: Engine) -> None:
    other = Engine(engine.runner, engine.tokenizer, name="other")
    facts = engine.runner.facts
    other.runner = type("Another", (), {"facts": replace(facts, vocab_size=facts.vocab_size + 1)})()
    with pytest.raises(NotComparable, match="other and pocket do not share their tokens"):
        Contrast(engine, [other])


def test_perplexity_is_of_the_true_answers_alone() -> None:
    losses, even = Losses(), np.zeros((2, 4), np.float32)
    losses.add(even, even, np.array([0, 1]))
    losses.add(even + np.eye(2, 4, dtype=np.float32), even, np.array([0, 1]), is_true=False)
    before, after = losses.perplexities or (math.nan, math.nan)
    assert before == after == pytest.approx(4)
