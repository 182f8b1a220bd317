from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engine.box_grammar import LONGEST, BoxGrammar, BoxWriter, is_beginning, is_whole
from edge.engine.context import Context
from edge.engine.tokenizer import Tokenizer
from stream.tasks.boxes import parse_boxes

NUMBER = r"(0|[1-9]\d{0,2}|1000)"
BOX = re.compile(rf"\({NUMBER},{NUMBER}\),\({NUMBER},{NUMBER}\)")
OUTSIDE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Wish:
    """A prediction in which every token has a likelihood of its own."""

    def __init__(self, size: int, seed: int) -> None:
        self._logits = np.random.default_rng(seed).random((1, size), dtype=np.float32)

    @property
    def best(self) -> np.ndarray:
        return self._logits.argmax(axis=1)

    def logits(self) -> np.ndarray:
        return self._logits


@pytest.fixture
def grammar(tokenizer: Tokenizer) -> BoxGrammar:
    found = BoxGrammar.of(tokenizer)
    assert found is not None
    return found


def is_prefix(text: str) -> bool:
    """The slow twin: whether some whole box begins so, by trying what could follow."""
    rests = (
        "",
        "0",
        "0,0),(0,0)",
        ",0),(0,0)",
        "0),(0,0)",
        "),(0,0)",
        ",(0,0)",
        "(0,0)",
        "0,0)",
        ",0)",
        "0)",
        ")",
        "(0,0),(0,0)",
    )
    return any(BOX.fullmatch(text + rest) for rest in rests)


@given(st.text("(),0123456789 x", max_size=26))
def test_the_form_is_that_of_a_regular_expression(text: str) -> None:
    assert is_whole(text) == bool(BOX.fullmatch(text))
    assert is_beginning(text) == is_prefix(text)


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.data())
def test_every_beginning_of_every_box_is_one(numbers: list[int], data: st.DataObject) -> None:
    text = "({},{}),({},{})".format(*numbers)
    cut = text[: data.draw(st.integers(0, len(text)))]

    assert is_beginning(cut) and is_whole(text)
    assert not is_beginning(f"{cut}x")


@OUTSIDE
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_a_model_would_rather_say_a_box_comes_out(
    tokenizer: Tokenizer, grammar: BoxGrammar, seed: int
) -> None:
    size = max(tokenizer.special.values()) + 1
    writer, said = BoxWriter(grammar), [grammar.start]
    assert writer.choose(grammar.start, Wish(size, seed), room=LONGEST) == grammar.start
    while said[-1] != grammar.end:
        wish = Wish(size, seed + len(said))
        token = writer.choose(int(wish.best[-1]), wish, room=LONGEST - len(said))
        assert token is not None
        said.append(token)

    assert len(said) <= LONGEST
    text = "".join(grammar.spellings[token] for token in said[1:-1])
    assert BOX.fullmatch(text)


def test_a_model_that_keeps_the_form_says_what_it_likes_and_costs_nothing(
    runner, tokenizer: Tokenizer, make_group
) -> None:
    context = Context(runner, tokenizer, max_groups=2, drafts=False)
    context.append(make_group(0))
    text = "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(12,7),(360,1000)<|box_end|>"
    runner.say(tokenizer.encode(text))

    assert context.answer("Find the dog.").read() == f"{text}"
    assert not runner.named("logits")


def test_what_does_not_fit_gives_way_and_the_answer_goes_on(runner, tokenizer: Tokenizer, make_group) -> None:
    context = Context(runner, tokenizer, max_groups=2, drafts=False)
    context.append(make_group(0))
    after = tokenizer.encode("Yes")
    runner.say([*tokenizer.encode("<|box_start|>(12 dogs"), *[tokenizer.special["<|im_end|>"]] * 40, *after])
    reply = context.answer("Find the dog.", max_tokens=60)
    reply.read()

    parsed = parse_boxes(reply.text)
    assert reply.text.startswith("<|box_start|>(12") and "<|box_end|>" in reply.text
    assert "truncated" not in parsed.flags


@pytest.mark.parametrize("room", range(1, LONGEST + 12))
def test_an_answer_that_is_cut_ends_before_a_box_or_behind_it(
    runner, tokenizer: Tokenizer, make_group, room: int
) -> None:
    context = Context(runner, tokenizer, max_groups=2, drafts=False)
    context.append(make_group(0))
    one = "<|box_start|>(100,200),(300,400)<|box_end|>"
    runner.say(tokenizer.encode(one * 9))
    reply = context.answer("Find the dog.", max_tokens=room)
    reply.read()

    assert reply.finish == "length"
    assert reply.text == one * reply.text.count("<|box_end|>")
    assert reply.usage.generated_tokens <= room


def test_a_vocabulary_without_boxes_has_no_grammar(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "special", {"<|im_end|>": 1})

    assert BoxGrammar.of(tokenizer) is None
