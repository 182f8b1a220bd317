"""Writing ahead changes what a reply costs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engine.draft import Draft
from edge.engine.generation import Prefill, Reply
from edge.engine.pass_costs import WIDEST, PassCosts
from edge.engine.sampling import Sampling
from edge.engine.tail import Tail, WriteAhead
from edge.engine.tokenizer import Tokenizer
from edge.models.qwen2_vl.layout import LAYOUT

FIRST, LAST = 20, 24  # the tokens that the model knows, so that answers have something in common
CAPACITY = 60


@pytest.fixture
def ask(make_runner: Callable[..., Any], tokenizer: Tokenizer) -> Callable[..., tuple[Reply, Any]]:
    """A reply to a prompt of three tokens, of a model of few words: all it says depends on all that was written."""

    def ask(
        seed: int, draft: Sequence[int] | None = None, seconds: Iterable[float] = (), **sampling
    ) -> tuple[Reply, Any]:
        runner = make_runner()
        probable = np.zeros(runner.facts.vocab_size, dtype=np.float32)
        probable[FIRST : LAST + 1], probable[runner.facts.stop_tokens[0]] = 1, 0.8
        all_of_them = runner.logits_after
        runner.logits_after = lambda entry: all_of_them(entry) + probable
        cache = runner.cache(CAPACITY)
        prompt = np.array([seed, 1, 2])
        prediction = runner.extend(cache, prompt, LAYOUT.text_positions(0, 3))
        prefill = Prefill(prediction, prompt, 0, 0, room=CAPACITY - 3)
        tail = Tail(runner, cache, LAYOUT, at=3)
        reply = Reply(tokenizer, prefill, tail.write, runner.facts.stop_tokens, Sampling(**sampling))
        if draft is not None:
            costs = PassCosts()
            for _ in range(2):
                costs.measured(1, 1.0)
            times = accumulate(time for second in (*seconds, *[0.0] * 100) for time in (0.0, second))
            ahead = WriteAhead(tail, Draft(draft), costs, prefill.limit(reply.sampling), lambda: next(times))
            reply.write, reply.num_accepted = ahead.write, lambda: ahead.accepted
        return reply, runner

    return ask


words = st.integers(FIRST, LAST + 1)  # and one that is never said
edits = st.lists(st.tuples(st.sampled_from(["insert", "delete", "replace"]), st.integers(0, 40), words), max_size=4)


def edited(answer: Sequence[int], edits: Sequence[tuple[str, int, int]], shift: int) -> list[int]:
    changed = list(answer)[shift:]
    for kind, place, token in edits:
        place = min(place, len(changed))
        changed[place : place + (kind != "insert")] = [] if kind == "delete" else [token]
    return changed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 400),
    random_draft=st.none() | st.lists(words, max_size=50),
    edits=edits,
    shift=st.integers(0, 3),
    stops=st.booleans(),
    seconds=st.lists(st.floats(0, 9), max_size=40),
    max_tokens=st.integers(1, 80),
)
def test_any_draft_at_any_pace_leaves_the_greedy_answer(
    ask, seed: int, random_draft, edits, shift: int, stops: bool, seconds: list[float], max_tokens: int
) -> None:
    plain, plain_runner = ask(seed, max_tokens=max_tokens)
    pieces = list(plain)
    draft = edited(plain.tokens, edits, shift) if random_draft is None else random_draft
    draft = [*draft, *plain_runner.facts.stop_tokens, *draft] if stops else draft
    drafted, runner = ask(seed, draft, seconds, max_tokens=max_tokens)

    assert list(drafted) == pieces
    assert (drafted.tokens, drafted.finish) == (plain.tokens, plain.finish)
    written = plain_runner.caches[0].entries
    assert runner.caches[0].entries[: len(written)] == written
    passes = len(runner.named("extend")) - 1
    assert passes + drafted.accepted == len(written) - 3


def answer_of(ask, at_least: int) -> tuple[int, tuple[int, ...]]:
    """A prompt with a long answer that ends by itself."""
    for seed in range(400):
        reply, _ = ask(seed)
        reply.read()
        if reply.finish == "stop" and len(reply.tokens) >= at_least:
            return seed, reply.tokens
    raise AssertionError("the model says little")


def test_an_unchanged_answer_takes_a_pass_for_every_sixteen_tokens(ask) -> None:
    seed, answer = answer_of(ask, at_least=18)
    reply, runner = ask(seed, draft=answer)
    reply.read()
    _question, *passes = runner.named("extend")

    assert [call[3] for call in passes] == [WIDEST, len(answer) - WIDEST]
    assert reply.accepted == reply.usage.accepted_tokens == len(answer) - 2


def test_what_was_written_in_vain_is_forgotten(ask) -> None:
    seed, answer = answer_of(ask, at_least=8)
    wrong = [*answer[:3], LAST + 1, *answer[4:]]
    reply, runner = ask(seed, draft=wrong)
    reply.read()
    (crop,) = runner.named("crop")

    assert crop == ("crop", 3 + 3)  # the prompt, and three right tokens
    assert reply.tokens == answer


def test_a_reply_that_stops_at_a_text_or_its_limit_writes_nothing_behind_it(ask, tokenizer) -> None:
    seed, answer = answer_of(ask, at_least=12)
    reply, runner = ask(seed, draft=answer, max_tokens=6)
    reply.read()
    assert runner.caches[0].length == 3 + 5
    stop = tokenizer.decode(answer[:4])
    reply, _ = ask(seed, draft=answer, stop=(stop,))

    assert (reply.read(), reply.finish) == ("", "stop")


def test_a_loop_is_cut_where_it_would_be_cut_token_by_token(ask, tokenizer) -> None:
    reply, runner = ask(1, draft=[21] * 50)
    logits = np.zeros(runner.facts.vocab_size, dtype=np.float32)
    logits[21] = 1
    runner.logits_after = lambda entry: logits
    reply.prefill.prediction._logits[:] = logits  # type: ignore[attr-defined]

    assert reply.read() == tokenizer.decode([21, 21])
    assert reply.finish == "loop"
    assert reply.usage.generated_tokens == 24
    assert reply.accepted > 20


def test_what_was_written_ahead_is_not_told_of_a_reply_that_is_over(ask) -> None:
    seed, answer = answer_of(ask, at_least=8)
    reply, runner = ask(seed, draft=answer)
    tail = reply.write.__self__._tail  # type: ignore[attr-defined]
    reply.write(answer[0])
    tail.is_over = True

    with pytest.raises(RuntimeError, match="this reply is over"):
        reply.write(answer[1])
    assert len(runner.named("extend")) == 2
