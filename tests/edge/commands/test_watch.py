from __future__ import annotations

import pytest

from edge.commands.watch import DEFAULT_WINDOW, choose_window, make_other_sinks, make_sinks, make_tasks
from stream.sinks import SINKS
from stream.tasks import TASKS, Finding


class Counts:
    """A task and a sink of somebody else's."""

    name = "count"
    choices: tuple[str, ...] = ()
    max_tokens = 4

    def prompt(self) -> str:
        return "How many?"

    def parse(self, text: str, probabilities: object, picture: object = None) -> Finding:
        return Finding(text)

    def publish(self, event: object, picture: object) -> None: ...

    def close(self) -> None: ...


def test_how_far_back_is_said_in_groups_or_in_seconds() -> None:
    assert choose_window(None, None, 2.0) == DEFAULT_WINDOW
    assert choose_window(5, None, 2.0) == 5
    assert choose_window(None, 8.0, 2.0) == 16


@pytest.mark.parametrize(
    ("window", "seconds", "match"),
    [(4, 8.0, "Give one"), (None, 0.0, "above 0"), (None, -1.0, "above 0"), (None, float("nan"), "above 0")],
)
def test_a_time_that_is_none_and_both_ways_at_once_are_refused(window, seconds, match) -> None:
    with pytest.raises(ValueError, match=match):
        choose_window(window, seconds, 2.0)


def test_one_ground_task_per_label() -> None:
    tasks = make_tasks(None, "person, red  car ,dog", None)

    assert [task.prompt() for task in tasks] == ["Find the person.", "Find the red  car.", "Find the dog."]
    assert len({task.name for task in tasks}) == 3


@pytest.mark.parametrize("labels", ["", " ", "person,", ",", "person,,dog"])
def test_an_empty_label_is_refused(labels: str) -> None:
    with pytest.raises(ValueError, match="label"):
        make_tasks(None, labels, None)


def test_a_task_and_a_sink_may_be_somebody_elses() -> None:
    path = f"{__name__}:Counts"

    (task,) = make_tasks(None, None, None, [path])
    *_, sink = make_sinks(as_json=True, out=None, overlay=None, others=make_other_sinks([path]))

    assert task.prompt() == "How many?"
    assert type(sink) is Counts


def test_what_the_options_of_a_watch_make_is_what_the_registries_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "describe", "builtins:str")
    monkeypatch.setitem(SINKS, "stdout", "builtins:dict")

    assert make_tasks("What is it?", None, None) == ["What is it?"]
    assert make_sinks(as_json=True, out=None, overlay=None) == [{"json": True, "tells_stream": False}]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("dance", "none of ask, describe, ground"),
        ("no.such.package:Task", "cannot be imported"),
        (f"{__name__}:Nothing", "cannot be imported"),
        ("ask", "cannot be made without arguments"),
        ("builtins:dict", "it has no name, no choices"),
    ],
)
def test_a_task_that_is_not_to_be_had_is_named(name: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_tasks(None, None, None, [name])
