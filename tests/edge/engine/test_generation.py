from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engine.generation import Prefill, Reply, first_tokens
from edge.engine.sampling import Sampling
from edge.engine.tokenizer import Tokenizer
from edge.errors import PromptError


class Scripted:
    """Expects one token after another, whatever is written."""

    def __init__(self, tokens: list[int], size: int) -> None:
        self.written: list[int] = []
        self._tokens, self._size = tokens, size

    def write(self, token: int) -> Scripted:
        self.written.append(token)
        return self

    @property
    def best(self) -> np.ndarray:
        return np.array([self._tokens[len(self.written)]])

    def logits(self) -> np.ndarray:
        logits = np.zeros((1, self._size), dtype=np.float32)
        logits[0, self.best] = 20
        return logits


@pytest.fixture
def reply_of(tokenizer: Tokenizer) -> Callable[..., Reply]:
    def reply_of(tokens: list[int] | str, room: int = 1000, choices: tuple[str, ...] = (), **sampling) -> Reply:
        ids = tokenizer.encode(tokens).tolist() if isinstance(tokens, str) else tokens
        stop = tokenizer.special["<|im_end|>"]
        model = Scripted([*ids, stop], size=stop + 20)
        asked = Prefill(model, np.array([1, 2]), visual_tokens=6, reused_tokens=7, room=room)
        return Reply(tokenizer, asked, model.write, (stop,), Sampling(**sampling), first_tokens(tokenizer, choices))

    return reply_of


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(min_size=1, max_size=40))
def test_the_pieces_are_the_text(tokenizer: Tokenizer, reply_of, text: str) -> None:
    ids = tokenizer.encode_plain(text).tolist()
    reply = reply_of(ids, max_tokens=len(ids) + 1)
    pieces = list(reply)

    assert "".join(pieces) == reply.text
    assert all(pieces)
    if reply.finish == "stop":
        assert reply.text == tokenizer.decode(ids)
    else:
        assert reply.finish == "loop"


def test_a_reply_is_computed_only_as_far_as_it_is_read(reply_of) -> None:
    reply = reply_of("a dog runs")
    pieces = iter(reply)
    first = next(pieces)

    assert reply.prefill.prediction.written == []
    assert reply.text == first


@pytest.mark.parametrize(("limits", "said"), [({"max_tokens": 3}, "xyz"), ({"room": 2}, "xy"), ({}, "xyzxx")])
def test_a_reply_ends_at_its_limit_or_at_the_end_of_the_room(reply_of, limits: dict, said: str) -> None:
    reply = reply_of("xyzxx", **limits)

    assert reply.read() == said
    assert reply.finish == ("length" if limits else "stop")
    assert reply.usage.generated_tokens == len(said)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (("zy",), "xyxyx"),
        (("nothing",), "xyxyxzyx"),
        (("x",), ""),
        (("zyx", "zy"), "xyxyx"),
        (("yxz", "xz"), "xyx"),
        (("xq",), "xyxyxzyx"),
    ],
)
def test_nothing_of_a_stop_text_is_said(reply_of, stop: tuple[str, ...], said: str) -> None:
    reply = reply_of("xyxyxzyx", stop=stop)
    pieces = list(reply)

    assert "".join(pieces) == reply.text == said
    assert reply.finish == "stop"


def test_a_stop_text_completed_by_the_last_allowed_token_counts(reply_of) -> None:
    reply = reply_of("xyz", stop=("z",), max_tokens=3)

    assert (reply.read(), reply.finish) == ("xy", "stop")


def test_a_loop_is_cut_and_said_twice_at_most(reply_of) -> None:
    reply = reply_of("w" + "xyz" * 40)

    assert (reply.read(), reply.finish) == ("wxyzxyz", "loop")
    assert reply.usage.generated_tokens == 25


def test_a_repetition_that_ends_is_said_in_full(reply_of) -> None:
    text = "no" + ", no" * 6 + "!"

    assert reply_of(text).read() == text


def test_a_character_cut_by_the_limit_is_marked(tokenizer: Tokenizer, reply_of) -> None:
    assert reply_of("a🦊", max_tokens=3).read() == "a\ufffd"


def test_an_abandoned_reply_ends_and_says_so_once(reply_of) -> None:
    ends: list[str] = []
    reply = reply_of("a dog runs")
    reply.ended = lambda: ends.append(reply.finish)
    for _ in reply:
        break
    reply.close()

    assert ends == ["cancelled"]
    assert list(reply) == []


def test_choices_are_weighed_against_each_other(reply_of) -> None:
    reply = reply_of(" yes", choices=("Yes", "No"))

    assert reply.probabilities["Yes"] > 0.99
    assert sum(reply.probabilities.values()) == pytest.approx(1)
    assert reply.read() == " yes"


def test_a_choice_may_begin_large_or_small_and_after_a_space(tokenizer: Tokenizer) -> None:
    tokens = first_tokens(tokenizer, ("Yes", "No"))

    assert {tokenizer.decode([token]) for token in tokens["Yes"]} == {"Yes", " Yes", "yes", " yes"}


@pytest.mark.parametrize("choices", [("zqa", "zqb"), ("Yes", "yes"), ("", "No")])
def test_choices_that_begin_alike_are_refused(tokenizer: Tokenizer, choices: tuple[str, ...]) -> None:
    with pytest.raises(PromptError, match="choice"):
        first_tokens(tokenizer, choices)


def test_usage_says_where_the_tokens_went(reply_of) -> None:
    reply = reply_of("xy")
    reply.read()
    usage = reply.usage

    assert (usage.text_tokens, usage.visual_tokens, usage.reused_tokens, usage.generated_tokens) == (
        2,
        6,
        7,
        2,
    )
