import math
from pkgutil import resolve_name

import pytest

from stream.tasks import TASKS
from stream.tasks.ask import Ask
from stream.tasks.describe import Describe
from stream.tasks.geometry import Picture
from stream.tasks.ground import Ground

GARBAGE = ["", " ", "\x00\x1b[2J", "<|box_start|>(1,", "<|im_end|>" * 50, "(((" * 100, "Yes" * 1000]


def make(name):
    task = resolve_name(TASKS[name])
    return task() if name == "describe" else task("person")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_name_a_prompt_and_a_budget(name):
    task = make(name)

    assert name in task.name
    assert task.prompt()
    assert task.max_tokens >= 1
    assert isinstance(task.choices, tuple)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("probabilities", [{}, {"Yes": math.nan, "No": 1.0}, {"Yes": 0.0, "No": 0.0}])
def test_no_answer_makes_a_task_raise(name, text, probabilities):
    finding = make(name).parse(text, probabilities)

    assert "<|" not in finding.text
    assert "\x1b" not in finding.text


def test_describe_asks_its_prompt_and_gives_the_words():
    task = Describe("What changed?", name="scene")

    assert (task.name, task.prompt()) == ("scene", "What changed?")
    assert task.parse("A dog runs.<|im_end|>", {}).text == "A dog runs."


def test_ground_asks_for_its_label_and_gives_boxes():
    task = Ground("red circle")
    finding = task.parse("<|box_start|>(100,200),(300,400)<|box_end|>", {})

    assert task.prompt() == "Find the red circle."
    assert [(box.label, box.x1, box.y2) for box in finding.boxes] == [("red circle", 0.1, 0.4)]


PIXELS = '[{"bbox_2d": [140, 80, 1120, 400], "label": "dog"}]'


@pytest.mark.parametrize("task", [Ground("dog"), Describe()])
def test_boxes_in_pixels_are_read_by_the_size_that_the_model_saw(task):
    (box,) = task.parse(PIXELS, {}, picture=Picture(height=800, width=1400)).boxes

    assert (box.x1, box.y1, box.x2, box.y2) == (0.1, 0.1, 0.8, 0.5)
    assert task.parse(PIXELS, {}).boxes == ()
    assert task.parse(PIXELS, {}).flags == ("pixels",)


def test_a_model_that_always_answers_in_pixels_is_understood_where_that_is_said():
    (box,) = Ground("dog", in_pixels=True).parse("dog(10,20),(50,60)", {}, Picture(100, 100)).boxes

    assert (box.x1, box.y2) == (0.1, 0.6)


def test_an_empty_label_is_refused():
    with pytest.raises(ValueError, match="label"):
        Ground(" ")


@pytest.mark.parametrize(
    ("probabilities", "answer", "p_yes"),
    [
        ({"Yes": 0.9, "No": 0.1}, "yes", 0.9),
        ({"Yes": 0.2, "No": 0.8}, "no", 0.2),
        ({"Yes": 0.3, "No": 0.1}, "yes", 0.75),  # they need not sum to 1
        ({}, "yes", None),  # the engine could not say: the words count
        ({"Yes": math.nan, "No": 0.5}, "yes", None),
    ],
)
def test_ask_decides_by_probability(probabilities, answer, p_yes):
    finding = Ask("Is there a dog?").parse("Yes", probabilities)

    assert finding.answer == answer
    assert finding.p_yes == (None if p_yes is None else pytest.approx(p_yes))


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes.", "yes"), ("no, there is none", "no"), ("Yesterday", None), ("Perhaps", None), ("", None)],
)
def test_without_probabilities_only_a_clear_word_is_an_answer(text, answer):
    assert Ask("Is there a dog?").parse(text, {}).answer == answer


def test_an_empty_question_is_refused():
    with pytest.raises(ValueError, match="question"):
        Ask("  ")
