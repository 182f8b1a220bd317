"""The lessons say the truth, and the judge understands what they say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pocket.evaluate import Score, judge
from edge.pocket.lessons import Lesson, Truth, describe, ground, lessons, matching, observe, spoken_of
from stream.event import Box
from stream.sources.scene import Scene, Thing
from stream.tasks.boxes import parse_boxes

SEEDS = st.integers(0, 10**6)
TIMES = (1.0, 1.5, 2.0, 2.5)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_true_answers_earn_full_marks(seed: int) -> None:
    truth = observe(Scene(seed, duration=4.0), TIMES)
    score = Score()
    for lesson in lessons(truth, np.random.default_rng(seed), 13):
        judge(score, lesson, lesson.answer, truth)
    figures = score.figures()
    assert all(all(right) for right in score.answers.values())
    assert figures["boxes_invented"] == 0
    if truth.things:
        assert figures["object_f1"] == figures["motion"] == figures["size"] == 1
        assert figures["mean_iou"] > 0.85  # the boxes are true to a hundredth of the picture


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_another_scenes_answers_earn_less(seed: int) -> None:
    truth, other = (observe(Scene(s, duration=4.0), TIMES) for s in (seed, seed + 1))
    if truth.labels & other.labels or not (truth.things and other.things):
        return
    score = Score()
    judge(score, Lesson("describe", "Describe the video.", ""), describe(other), truth)
    judge(score, Lesson("ground", "Find the shape.", ""), ground(other.things, "shape"), truth)
    assert score.figures()["object_f1"] < 0.1
    assert score.figures()["mean_iou"] < 0.2


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_boxes_survive_the_products_parser(seed: int) -> None:
    things = Scene(seed, duration=4.0).things(2.0)
    boxes = parse_boxes(ground(things, "shape")).boxes
    assert [box.label for box in boxes] == [thing.label for thing in things]
    assert all(box.iou(thing.box) > 0.8 for box, thing in zip(boxes, things, strict=True))


@pytest.mark.parametrize(
    "wanted, found",
    [("shape", "all"), ("red shape", "colour"), ("circle", "shape"), ("red circle", "both"), ("dog", "none")],
)
def test_names_match_what_they_mean(wanted: str, found: str) -> None:
    for seed in range(40):
        things = Scene(seed, duration=4.0).things(2.0)
        expected = {
            "all": things,
            "colour": [t for t in things if t.colour == "red"],
            "shape": [t for t in things if t.shape == "circle"],
            "both": [t for t in things if t.label == "red circle"],
            "none": [],
        }[found]
        assert matching(things, wanted) == expected


def test_entering_and_leaving_are_told() -> None:
    told = [describe(observe(Scene(seed, duration=6.0), (0.0, 0.5, 4.0, 4.5))) for seed in range(80)]
    assert any("has entered" in text for text in told)
    assert any("has left" in text for text in told)
    assert all(re.fullmatch(r"(There is nothing here\.|(A [a-z ]+\.( |$))+)", text) for text in told)


THINGS = (
    Thing("red", "star", "small", "left", Box("red star", 0.1, 0.1, 0.2, 0.2), 1.0),
    Thing("blue", "star", "large", "still", Box("blue star", 0.5, 0.1, 0.7, 0.3), 1.0),
)


@pytest.mark.parametrize(
    "question, answer, expected",
    [
        ("Describe the video.", describe(Truth(THINGS, frozenset({"red star", "blue star"}))), [(0,), (1,)]),
        ("Find the star.", ground(THINGS, "star"), [(0,), (1,)]),
        ("Where is the blue star?", ground(THINGS[1:], "blue star"), [(1,)]),
        ("Find the start.", "There is no start.", [()]),
        ("How many stars are there?", "Two.", [(0, 1)]),
        ("Is the red star moving? Answer yes or no.", "Yes.", [(0,)]),
        ("How does the blue star move?", "It stands still.", [(1,)]),
        ("What changed?", "A red star has entered. A green cross has left.", [(0,), ()]),
        ("Is there a green cross?", "No.", [()]),
        ("Is anything moving?", "Yes.", [()]),
    ],
)
def test_each_piece_of_an_answer_speaks_of_its_thing(
    question: str, answer: str, expected: list[tuple[int, ...]]
) -> None:
    pieces = spoken_of(Lesson("", question, answer), Truth(THINGS, frozenset()))
    assert [things for _, things in pieces] == expected
    assert pieces[-1][0] == len(answer)
