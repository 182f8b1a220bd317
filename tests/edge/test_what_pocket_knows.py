"""What was taught is let through, what was not is refused, and neither list is written twice."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge.errors import NotTaught
from edge.pocket.knows import check_questions, strange_words
from edge.pocket.lessons import STRANGERS, lessons, observe
from stream.sources.scene import Scene

STRANGE = re.compile(rf"\b({'|'.join(STRANGERS)})")
CAMERA = "rtsp://10.0.0.7/live"


def test_every_question_of_the_lessons_is_known_but_for_the_strangers() -> None:
    rng = np.random.default_rng(0)
    asked = {
        lesson.question
        for seed in range(40)
        for lesson in lessons(observe(Scene(seed), [1.0, 1.5, 2.0]), rng, 20)
        if not STRANGE.search(lesson.question)
    }

    assert len(asked) > 200
    assert [question for question in sorted(asked) if strange_words(question)] == []


@pytest.mark.parametrize("stranger", STRANGERS)
def test_that_a_stranger_is_absent_was_taught_but_not_what_it_looks_like(stranger: str) -> None:
    assert strange_words(stranger) == [stranger]


@pytest.mark.parametrize("question", ["red circle", "CIRCLE", "Is there a star?", "Is anything moving?", "blue shape"])
def test_drawn_shapes_may_be_asked_for_anywhere(question: str) -> None:
    check_questions([question], CAMERA)


@pytest.mark.parametrize(
    ("question", "strange"),
    [
        ("Is there a parcel at the door?", "'parcel', 'at', 'door'"),
        ("person", "'person'"),
        ("red car", "'car'"),
        ("Is the circle on fire?", "'on', 'fire'"),
        ("Ist da ein Kreis?", "'Ist', 'da', 'ein', 'Kreis'"),
        ("有人吗", "'有人吗'"),
    ],
)
def test_anything_else_is_refused_on_what_is_not_drawn_and_the_error_says_why(question: str, strange: str) -> None:
    with pytest.raises(NotTaught, match=strange) as caught:
        check_questions(["Is there a star?", question], CAMERA)

    assert "Qwen/Qwen2-VL-2B-Instruct" in str(caught.value)


@pytest.mark.parametrize("source", ["synthetic:", " synthetic://?seed=3", "SYNTHETIC:"])
def test_of_a_drawn_scene_anything_may_be_asked(source: str) -> None:
    check_questions(["Is there a parcel at the door?"], source)
