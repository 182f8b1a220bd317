from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.sampling import LoopGuard, Sampling, TokenSampler, nucleus, penalised, softmax
from edge.errors import BadSampling


class Expecting:
    """A prediction of given logits; a greedy sampler must not ask for them."""

    def __init__(self, logits: list[float], secret: bool = False) -> None:
        self._logits = np.array([logits], dtype=np.float32)
        self._secret = secret

    @property
    def best(self) -> np.ndarray:
        return self._logits.argmax(axis=1)

    def logits(self) -> np.ndarray:
        assert not self._secret
        return self._logits


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"max_tokens": 0},
        {"stop": ("a", "")},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict) -> None:
    with pytest.raises(BadSampling, match=next(iter(settings))):
        Sampling(**settings)


def test_one_stop_text_may_stand_alone() -> None:
    assert Sampling(stop="end").stop == ("end",)  # type: ignore[arg-type]


def test_greedy_leaves_the_logits_on_the_device() -> None:
    assert TokenSampler(Sampling()).pick(Expecting([0, 3, 1], secret=True)) == 1


def test_the_penalty_is_that_of_transformers() -> None:
    logits = np.array([2.0, -1.0, 0.5])

    assert penalised(logits, {0, 1}, 2.0).tolist() == [1.0, -2.0, 0.5]
    assert logits.tolist() == [2.0, -1.0, 0.5]


def test_the_penalty_counts_the_prompt_and_what_was_said() -> None:
    sampler = TokenSampler(Sampling(repetition_penalty=4.0), history=[0])
    prediction = Expecting([3.0, 2.0, 1.0])

    assert [sampler.pick(prediction) for _ in range(3)] == [1, 2, 0]


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, [2]), (0.5, [2]), (0.51, [2, 0]), (0.8, [2, 0]), (1.0, [2, 0, 1])])
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: list[int]) -> None:
    order, shares = nucleus(np.array([0.3, 0.2, 0.5]), top_p)

    assert order.tolist() == kept
    assert shares.sum() == pytest.approx(1)


def test_sampling_follows_the_probabilities() -> None:
    prediction = Expecting([1.0, 0.0, 2.0])
    sampler = TokenSampler(Sampling(temperature=0.5))
    counts = np.bincount([sampler.pick(prediction) for _ in range(4000)], minlength=3) / 4000

    assert counts == pytest.approx(softmax(np.array([2.0, 0.0, 4.0])), abs=0.03)


def test_the_same_seed_gives_the_same_tokens() -> None:
    def picks(seed: int) -> list[int]:
        sampler = TokenSampler(Sampling(temperature=9.0, seed=seed))
        return [sampler.pick(Expecting(list(range(9)))) for _ in range(20)]

    assert picks(1) == picks(1) != picks(2)


def loops(tokens: list[int]) -> int | None:
    """After how many tokens the guard calls it a loop."""
    guard = LoopGuard()
    return next((number for number, token in enumerate(tokens, 1) if guard.push(token)), None)


def boxes(count: int) -> list[int]:
    """A list of boxes of one label: `<ref>dog</ref><box>(12,34),(56,78)</box>`, each with its own digits."""
    rng = np.random.default_rng(0)
    return [t for _ in range(count) for t in (90, 91, 92, 93, *rng.integers(0, 10, 8).tolist(), 94, 95)]


@pytest.mark.parametrize(
    ("tokens", "at"),
    [
        ([1] * 30, 24),
        ([1, 2] * 20, 24),
        ([1, 2, 3] * 20, 24),
        (list(range(5)) * 9, 25),
        (list(range(6)) * 9, 24),
        (list(range(20)) * 9, 80),
        (list(range(32)) * 9, 128),
        ([7, 8, 9] + [1, 2] * 20, 27),
        (list(range(33)) * 9, None),
        ([1] * 23 + [2] * 23, None),
        ([1, 2] * 5, None),  # no, no, no, no, no
        (list(range(6)) * 3 + [9], None),
        (boxes(40), None),
        ([], None),
    ],
)
def test_what_is_a_loop(tokens: list[int], at: int | None) -> None:
    assert loops(tokens) == at


@given(st.lists(st.integers(0, 2), max_size=80))
def test_the_guard_agrees_with_looking_at_the_whole_text(tokens: list[int]) -> None:
    def is_loop(said: list[int]) -> bool:
        for period in range(1, 33):
            times = max(4, -(-24 // period))
            block = said[-period:]
            if len(said) >= times * period and said[-times * period :] == block * times:
                return True
        return False

    expected = next((n for n in range(1, len(tokens) + 1) if is_loop(tokens[:n])), None)

    assert loops(tokens) == expected


def test_tokens_from_the_third_time_on_are_suspect() -> None:
    guard = LoopGuard()
    suspect = []
    for token in [1, 2, 1, 2, 1, 2, 3]:
        guard.push(token)
        suspect.append(guard.num_suspect)

    assert suspect == [0, 0, 0, 0, 1, 2, 0]
