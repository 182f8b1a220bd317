"""Answers are judged by what the true ones are: yes or no, boxes, words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.quality.scores import Scores, matched, word_f1, yes_or_no
from stream.event import Box


def box(label: str, x1: int, y1: int, x2: int, y2: int) -> str:
    """As the model writes it, in thousandths."""
    return f"<|object_ref_start|>{label}<|object_ref_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"


@pytest.mark.parametrize(
    ("truth", "said", "figures"),
    [
        ("Yes.", "yes, there is", {"yes_no_accuracy": 1}),
        ("No, it is closed.", "Yes.", {"yes_no_accuracy": 0}),
        ("No.", "It is closed.", {"yes_no_accuracy": 0}),
        ("No dog is there.", "no dog is there", {"word_f1": 1}),  # a sentence, not a verdict
        ("Two.", "two", {"word_f1": 1}),
        ("A red circle moves left.", "A red circle stands still.", {"word_f1": 0.6}),
        ("There is no dog.", box("dog", 0, 0, 500, 500), {"word_f1": 0}),
        (box("dog", 0, 0, 500, 500), box("dog", 0, 0, 500, 500), {"box_iou": 1, "box_f1": 1}),
        (box("dog", 0, 0, 500, 500), box("Dog", 0, 0, 500, 250), {"box_iou": 0.5, "box_f1": 1}),
        (box("dog", 0, 0, 500, 500), box("cat", 0, 0, 500, 500), {"box_iou": 0, "box_f1": 0}),
        (box("dog", 0, 0, 500, 500), "(0,0),(500,500)", {"box_iou": 1, "box_f1": 1}),
        (box("dog", 0, 0, 500, 500), "There is no dog.", {"box_iou": 0, "box_f1": 0}),
        (
            box("dog", 0, 0, 500, 500),
            box("dog", 0, 0, 500, 500) + box("dog", 600, 600, 900, 900),
            {"box_iou": 1, "box_f1": pytest.approx(2 / 3)},
        ),
    ],
)
def test_each_answer_is_judged_by_its_own_kind(truth: str, said: str, figures: dict[str, float]) -> None:
    scores = Scores()
    scores.add(truth, said)
    assert scores.figures() == figures
    assert scores.counts() == dict.fromkeys(figures, 1)


def test_one_box_that_was_said_serves_one_true_box() -> None:
    true = [Box("dog", 0.0, 0.0, 0.5, 0.5), Box("dog", 0.0, 0.0, 0.5, 0.4)]
    assert matched(true, [Box("dog", 0.0, 0.0, 0.5, 0.4)]) == [0.0, 1.0]


SIDE = st.integers(0, 9)
BOXES = st.lists(
    st.builds(
        lambda label, x, y, w, h: Box(label, x / 10, y / 10, (x + w + 1) / 20, (y + h + 1) / 20),
        st.sampled_from(["", "dog", "cat"]), SIDE, SIDE, SIDE, SIDE,
    ),
    max_size=5,
)  # fmt: skip


@given(true=BOXES, said=BOXES)
def test_no_more_boxes_are_found_than_were_said(true: list[Box], said: list[Box]) -> None:
    ious = matched(true, said)
    assert len(ious) == len(true) and all(0 <= iou <= 1 for iou in ious)
    assert sum(iou > 0 for iou in ious) <= len(said)


@given(text=st.text())
def test_a_text_has_all_its_own_words(text: str) -> None:
    assert word_f1(text, text) == 1
    assert yes_or_no(text) in (None, "yes", "no")
