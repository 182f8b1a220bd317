"""What an earlier answer foretells, and how far it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.draft import KEPT_QUESTIONS, Draft, Drafts
from edge.engine.pass_costs import STALE, WIDEST, WIDTHS, PassCosts, expected_tokens

EARLIER = ["A", "red", "circle", "moves", "right", "and", "a", "blue", "square", "stands", "still."]


def draft_of(words: list[str], said: str) -> tuple[Draft, dict[str, int]]:
    """A draft in words; each new word is a token of its own."""
    ids: dict[str, int] = {}
    draft = Draft([ids.setdefault(word, len(ids)) for word in words])
    for word in said.split():
        draft.follow(ids.setdefault(word, len(ids)))
    return draft, ids


def guess(said: str, most: int = 3) -> str:
    draft, ids = draft_of(EARLIER, said)
    words = {token: word for word, token in ids.items()}
    return " ".join(words[token] for token in draft.guess(most))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "A red circle"),
        ("A red", "circle moves right"),
        ("A green", ""),  # a word was replaced, or the answer is another one
        ("A green circle", "moves right and"),  # it was replaced
        ("A large red", ""),
        ("A large red circle", "moves right and"),  # a word came
        ("A circle moves", "right and a"),  # a word went
        ("I see blue square", "stands still."),  # it begins elsewhere
        ("A red circle moves right and a blue square stands still.", ""),
        ("A red circle moves right and a blue square stands still. A red", "circle moves right"),
        ("Nothing of this sort.", ""),
    ],
)
def test_the_place_in_the_earlier_answer_is_found_again(said: str, expected: str) -> None:
    assert guess(said) == expected


def test_of_several_places_the_nearest_is_believed() -> None:
    draft = Draft([1, 2, 3, 9, 1, 2, 4, 9, 1, 2, 5])
    for token in (1, 2, 3, 9, 7, 1, 2):
        draft.follow(token)

    assert draft.guess(1) == (4,)


@given(st.lists(st.integers(0, 4)), st.lists(st.integers(0, 4)), st.integers(0, 20))
def test_a_guess_is_a_piece_of_the_earlier_answer(earlier: list[int], said: list[int], most: int) -> None:
    draft = Draft(earlier)
    for token in said:
        draft.follow(token)
    guessed = draft.guess(most)

    assert len(guessed) <= most
    assert any(tuple(earlier[n : n + len(guessed)]) == guessed for n in range(len(earlier) + 1))
    assert 0 <= draft.acceptance <= 1


def test_acceptance_counts_what_would_have_been_guessed_and_nothing_else() -> None:
    right, wrong, silent = Draft([1] * 90), Draft([1, 2] * 90), Draft()
    for _ in range(80):
        right.follow(1)
        wrong.follow(1)
        silent.follow(1)

    assert right.acceptance > 0.95
    assert wrong.acceptance < 0.6
    assert silent.acceptance == Draft().acceptance


def test_drafts_are_kept_by_question_and_the_oldest_goes() -> None:
    drafts = Drafts()
    for number in range(KEPT_QUESTIONS + 1):
        drafts.keep(f"question {number}", [number], acceptance=0.5)

    assert drafts.draft("question 0").guess(1) == ()
    assert drafts.draft("question 1").guess(1) == (1,)
    assert drafts.draft("question 1").acceptance == 0.5
    drafts.clear()
    assert drafts.draft("question 1").guess(1) == ()


def costs_of(**seconds: float) -> PassCosts:
    costs = PassCosts()
    for name, each in seconds.items():
        for _ in range(3):
            costs.measured(int(name.removeprefix("of_")), each)
    return costs


def test_nothing_is_guessed_before_a_single_token_was_timed() -> None:
    costs = PassCosts()
    assert costs.best_width(15, acceptance=1.0) == 1
    costs.measured(1, 60.0)  # the first may compile
    assert costs.best_width(15, acceptance=1.0) == 1
    costs.measured(1, 1.0)
    assert costs.best_width(15, acceptance=1.0) == WIDEST


@pytest.mark.parametrize(
    ("acceptance", "four", "sixteen", "expected"),
    [
        (1.0, 1.9, 5.7, 16),  # int4 on a CPU
        (0.8, 1.9, 5.7, 4),
        (0.3, 1.9, 5.7, 1),
        (0.9, 1.1, 1.3, 16),  # where the weights are read in most of the time, guesses are as good as free
        (0.3, 1.1, 1.3, 4),
        (0.0, 1.0, 1.0, 1),
        (1.0, 4.1, 16.2, 1),
    ],
)
def test_the_width_follows_what_a_pass_costs_and_how_often_guesses_are_right(
    acceptance: float, four: float, sixteen: float, expected: int
) -> None:
    costs = costs_of(of_1=1.0, of_4=four, of_8=(four + sixteen) / 2, of_16=sixteen)

    assert costs.best_width(WIDEST - 1, acceptance) == expected


@given(st.integers(0, WIDEST - 1), st.floats(0, 1), st.lists(st.tuples(st.integers(1, WIDEST), st.floats(0, 10))))
def test_no_pass_is_wider_than_there_are_guesses(num_guesses: int, acceptance: float, passes: list) -> None:
    costs = PassCosts()
    for num_tokens, seconds in passes:
        costs.measured(num_tokens, seconds)

    assert 1 <= costs.best_width(num_guesses, acceptance) <= num_guesses + 1


def test_a_width_that_once_took_long_is_tried_again_one_day() -> None:
    costs = costs_of(of_4=50.0, of_8=50.0, of_16=50.0, of_1=1.0)
    assert costs.best_width(15, acceptance=1.0) == 1
    for _ in range(STALE):
        costs.measured(1, 1.0)
    assert costs.best_width(15, acceptance=1.0) == WIDEST


def test_expected_tokens() -> None:
    assert expected_tokens(1, 0.5) == 1
    assert expected_tokens(4, 0.5) == 1.875
    assert [expected_tokens(width, 1.0) for width in WIDTHS] == list(WIDTHS)
