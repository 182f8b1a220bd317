"""`edge.watch`: live video in Python, from the first event to the last thread."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge
from edge.errors import BadArgument, ModelNotFound, NotTaught
from stream.errors import ConnectionFailed, NoPictureYet, NotWatched
from stream.sinks.inbox import Inbox
from stream.tasks.ask import Ask
from stream.testing import FakeSink, FakeSource, frames

DRAWN = "synthetic://?seed=1&seconds=3&size=112x84"
LIVE = "synthetic://?seed=1&size=112x84&live=1"
QUESTION = "Is there a red circle?"
LONG = 60.0  # seconds; only a failing test waits that long


@pytest.fixture(scope="module")
def model() -> edge.Model:
    return edge.load("pocket", device="cpu")


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("edge.watch", "sink inbox")]


# Events


def test_events_come_one_by_one_and_all_is_over_after_the_last(model: edge.Model) -> None:
    watching = edge.watch(DRAWN, model=model, ask=QUESTION, ground=["red circle", "blue star"])
    events = list(watching)

    assert [event.task for event in events] == ["ground:red circle", "ground:blue star", "ask"] * 3
    assert {event.question for event in events if event.task == "ask"} == {f"{QUESTION} Answer yes or no."}
    assert watching.summary.ended == "end of file" and watching.summary.events == len(events)
    assert not watchers()


def test_several_sources_by_name_on_one_model(model: edge.Model) -> None:
    other = "synthetic://?seed=2&seconds=2&size=112x84"
    watching = edge.watch({"left": DRAWN, "right": other}, model=model, ask=QUESTION)
    by_name = [event.stream for event in watching]

    assert (by_name.count("left"), by_name.count("right")) == (3, 2)
    assert [summary.stream for summary in watching.summaries] == ["left", "right"]
    assert {event.stream for event in edge.watch([f"a={DRAWN}", other], model=model, ask=QUESTION)} == {"a", other}


@pytest.mark.parametrize("how", ["break", "error", "with"])
def test_leaving_the_loop_ends_the_watching(model: edge.Model, how: str) -> None:
    watching = edge.watch(LIVE, model=model, ask=QUESTION)
    if how == "break":
        for _ in watching:
            break
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            for event in watching:
                event.seq / 0
    else:
        with watching:
            pass

    watching.close()  # idempotent; what an exception still refers to is collected later
    assert watching.summary.ended == "stopped" and not watchers()


def test_events_may_go_to_a_function_which_holds_nothing_up_when_it_fails(model: edge.Model) -> None:
    heard: list[edge.Event] = []

    def on_event(event: edge.Event) -> None:
        heard.append(event)
        raise RuntimeError("this robot has no arm")

    sink = FakeSink()
    (summary,) = edge.watch(DRAWN, model=model, ask=QUESTION, on_event=on_event, sinks=[sink]).wait()

    assert len(heard) == len(sink.events) == summary.events == summary.sink_errors == 3


def test_a_program_that_is_slower_than_a_file_loses_nothing(model: edge.Model) -> None:
    watching = edge.watch("synthetic://?seconds=45&size=56x56", model=model, ask=QUESTION)
    watching._thread.join()  # all is answered before the first event is taken

    assert len(list(watching)) == watching.summary.events == 45


def test_an_inbox_of_a_camera_drops_its_oldest_and_counts_it() -> None:
    inbox = Inbox(room=2)
    for name in "abc":
        inbox.publish(name, None)  # type: ignore[arg-type]
    inbox.close()

    assert [inbox.take(), inbox.take(), inbox.take(), inbox.dropped] == ["b", "c", None, 1]


# Questions


def test_a_question_from_outside_is_answered_on_what_is_seen(model: edge.Model) -> None:
    seen = threading.Event()
    with edge.watch(LIVE, model=model, ask=QUESTION, on_event=lambda event: seen.set()) as watching:
        assert seen.wait(LONG)
        encoded = watching.summary.groups
        answer = watching.ask(Ask("Is there a blue star?")).result(LONG)
        words = watching.ask("Describe what you see.").result(LONG)

    assert answer.answer in ("yes", "no") and answer.seq == -1
    assert words.text and words.groups[1] >= 0 and encoded >= 1
    with pytest.raises(NotWatched):
        watching.ask("And now?").result(LONG)


def test_a_question_before_the_first_picture_fails_at_once(model: edge.Model) -> None:
    with (
        edge.watch(FakeSource([threading.Event()], live=True), model=model, ask=QUESTION) as watching,
        pytest.raises(NoPictureYet),
    ):
        watching.ask("What is there?").result(LONG)


def test_async_for_and_an_awaited_question(model: edge.Model) -> None:
    async def main() -> tuple[int, edge.Event]:
        events, answered = 0, None
        async with edge.watch(LIVE, model=model, ask=QUESTION) as watching:
            async for _ in watching:
                events += 1
                answered = await watching.ask_async(Ask("Is there a green triangle?"))
                if events == 3:
                    break
        assert answered is not None
        return events, answered

    events, answered = asyncio.run(asyncio.wait_for(main(), LONG))

    assert events == 3 and answered.answer in ("yes", "no")
    assert not watchers()


def test_async_for_comes_to_the_end_of_a_file(model: edge.Model) -> None:
    async def main() -> list[edge.Event]:
        return [event async for event in edge.watch(DRAWN, model=model, ask=QUESTION)]

    assert len(asyncio.run(asyncio.wait_for(main(), LONG))) == 3


# What goes wrong


def test_what_ended_a_source_is_raised_after_its_last_event(model: edge.Model) -> None:
    source = FakeSource([*frames(4, 2.0), ConnectionFailed("the cable is out")])
    events = []
    with pytest.raises(ConnectionFailed, match="cable"):
        for event in edge.watch(source, model=model, ask=QUESTION):
            events.append(event)

    assert len(events) == 2


def test_a_defect_of_the_engine_is_raised_where_the_events_are_taken(model: edge.Model) -> None:
    class Broken:
        name, choices, max_tokens = "broken", (), 4

        def prompt(self) -> str:
            raise RuntimeError("no words")

        def parse(self, *_: object) -> None: ...

    with pytest.raises(RuntimeError, match="no words"):
        list(edge.watch(DRAWN, model=model, tasks=[Broken()]))  # type: ignore[list-item]
    assert not watchers()


PICTURE = np.zeros((28, 28, 3), np.uint8)


@pytest.mark.parametrize(
    ("source", "more", "match"),
    [
        (PICTURE, {}, r"source is an array of shape \(28, 28, 3\)"),
        (7, {}, "source is an int"),
        ([], {}, "empty list"),
        ({}, {}, "empty dict"),
        ({1: DRAWN}, {}, "name of a source is an int"),
        ([DRAWN, None], {}, "source is None"),
        (DRAWN, {"ask": {"q": 1}}, "ask is a dict"),
        (DRAWN, {"ask": [QUESTION, 3]}, "a part of ask is an int"),
        (DRAWN, {"ground": 3}, "ground is an int"),
        (DRAWN, {"describe": True}, "describe is a bool"),
        (DRAWN, {"tasks": [3]}, "a task is an int, and has no name"),
        (DRAWN, {"sinks": [print]}, "a sink is a builtin_function_or_method, and has no publish"),
        (DRAWN, {"on_event": "print"}, "on_event is a str"),
        (DRAWN, {"model": 3}, "model is an int"),
        (DRAWN, {"seconds": "8"}, "seconds is a str"),
        (DRAWN, {"seconds": True}, "seconds is a bool"),
        (DRAWN, {"fps": "2"}, "fps is a str"),
    ],
)
def test_a_wrong_type_is_named_at_once(model: edge.Model, source: Any, more: dict[str, Any], match: str) -> None:
    with pytest.raises(BadArgument, match=match):
        edge.watch(source, **{"model": model, **more})


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"seconds": 3, "window": 4}, "Give one"),
        ({"seconds": -1}, "above 0"),
        ({"fps": 0}, "fps"),
        ({"ask": " "}, "empty"),
        ({"ground": "circle,"}, "label"),
        ({"crop": (0, 0, 2)}, "four numbers"),
        ({"tasks": ["nowhere:Task"]}, "cannot be imported"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_opened(
    model: edge.Model, more: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        edge.watch(DRAWN, **{"model": model, **more})
    assert not watchers()


def test_other_wrong_types_are_named_where_they_are_given(model: edge.Model) -> None:
    with pytest.raises(BadArgument, match="sampling is a dict"):
        model.chat([{"role": "user", "content": "Hello"}], sampling={"temperature": 1})  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="messages is a str"):
        model.chat("Hello")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="sampling is a dict"):
        model.open(4, sampling={})  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match=r"group is an array of shape \(28, 28, 3\)"):
        model.open(4).append(PICTURE)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="model is an int"):
        edge.load(3)  # type: ignore[arg-type]
    with pytest.raises(ModelNotFound):
        edge.watch(DRAWN, model="nowhere/at/all")


@pytest.mark.parametrize("question", [3, None, ["What?"], "", "  "])
def test_what_is_no_question_is_refused_at_once(model: edge.Model, question: Any) -> None:
    with (
        edge.watch(DRAWN, model=model, ask=QUESTION) as watching,
        pytest.raises(BadArgument, match=r"question is a|question is None"),
    ):
        watching.ask(question)


def test_a_source_must_be_named_where_there_are_several(model: edge.Model) -> None:
    with (
        edge.watch({"left": LIVE, "right": LIVE}, model=model, ask=QUESTION) as watching,
        pytest.raises(BadArgument, match="left, right"),
    ):
        watching.ask("What is there?")


def test_events_that_go_to_a_function_cannot_be_iterated(model: edge.Model) -> None:
    with (
        edge.watch(DRAWN, model=model, ask=QUESTION, on_event=print) as watching,
        pytest.raises(BadArgument, match="on_event"),
    ):
        list(watching)


# Which model answers


def test_pocket_says_what_it_knows_where_nobody_named_a_model(tmp_path: Path) -> None:
    camera = edge.PushSource("gripper")
    with pytest.raises(NotTaught, match="parcel"):
        edge.watch(camera, ask="Is there a parcel?")
    with pytest.warns(UserWarning, match="drawn shapes only"):
        watching = edge.watch(camera, ask=QUESTION, device="cpu")
    watching.close()
    with pytest.warns(UserWarning, match="drawn shapes only"):
        edge.load(device="cpu")


# Frames of one's own


def test_frames_that_are_pushed_are_all_accounted_for(model: edge.Model) -> None:
    camera = edge.PushSource("gripper")
    watching = edge.watch(camera, model=model, ask=QUESTION)
    for number in range(90):
        camera.push(np.full((84, 112, 3), number, np.uint8), captured=number / 30)
    camera.close()
    events = list(watching)

    summary = watching.summary
    assert events and summary.received == 90
    assert summary.received == summary.analysed + sum(summary.dropped.values()) and summary.pending == 0


def test_own_plugins_by_their_import_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "newcomer")
    monkeypatch.chdir(tmp_path)  # where two of them leave something
    events = list(
        edge.watch(
            "my_plugins:Lamp", model="pocket", device="cpu", duration=2.0,
            tasks=["my_plugins:Brightness"], sinks=["my_plugins:Keep"], runner="my_plugins:Counting",
        )
    )  # fmt: skip

    assert len((tmp_path / "kept.txt").read_text().splitlines()) == len(events)
    assert int((tmp_path / "encoded.txt").read_text()) > 0
    assert [event.stream for event in events] == ["lamp"] * len(events)
    assert all(event.text.startswith("it was said: ") for event in events) and events
