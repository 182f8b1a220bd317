from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from client_messages import LIMITS, assistant, picture, text, user, video

from edge.engine.engine import Engine
from edge.engine.prompt import Slot, lay_out
from edge.engine.sampling import Sampling
from edge.errors import PromptError, PromptTooLong
from edge.media.access import TRUSTED
from edge.media.messages import read
from edge.media.visual import Conversation
from edge.models.qwen2_vl import QWEN2_VL
from edge.models.qwen2_vl.layout import LAYOUT, Qwen2VLLayout


def conversation(messages: list[dict]) -> Conversation:
    return read(messages, LIMITS, TRUSTED)


@pytest.fixture
def engine(runner, tokenizer) -> Engine:
    return Engine(runner, tokenizer, limits=LIMITS)


# Turns


def extended(runner) -> list[tuple[str, int]]:
    """Kind and number of tokens of every `extend`."""
    return [(call[1], call[3]) for call in runner.named("extend")]


def test_a_conversation_is_written_part_by_part(engine, runner, tokenizer) -> None:
    messages = [user(text("See:"), video(frames=3), picture(9), text("What?"))]
    engine.chat(conversation(messages)).close()
    parts = [p for p in lay_out(tokenizer, LAYOUT, conversation(messages).messages)]
    num_text = [len(part) for part in parts if not isinstance(part, Slot)]

    expected = [("text", num_text[0]), ("group", 6), ("group", 6), ("text", num_text[1]), ("group", 6)]
    assert extended(runner) == [*expected, ("text", num_text[2])]
    assert [call[4] for call in runner.named("extend")] == [0, 0, 0, 0, 0, 1]


def test_a_later_turn_costs_only_what_is_new(engine, runner, tokenizer) -> None:
    first = [user(video(1), text("What?"))]
    runner.say(tokenizer.encode("A dog."))
    answer = engine.chat(conversation(first)).read()
    length = runner.caches[0].length
    runner.calls.clear()
    runner.say(tokenizer.encode("Brown."))
    second = [*first, assistant(answer), user(text("Which?"))]
    reply = engine.chat(conversation(second))

    new = len(tokenizer.encode("<|im_end|>\n<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\n"))
    # The answer's last tokens are in memory as they were said, as far as the template spells them alike.
    assert runner.named("encode") == []
    assert extended(runner) == [("text", new)]
    assert reply.usage.reused_tokens == length
    assert reply.read() == "Brown."


def test_reuse_changes_nothing(engine, runner, make_runner, tokenizer) -> None:
    turns = [user(video(1), text("What?")), assistant("A dog."), user(picture(2), text("And here?"))]
    for count in (1, 3, 2):
        engine.chat(conversation(turns[:count])).read()
    engine.chat(conversation(turns), sampling=Sampling(max_tokens=5)).close()
    fresh = make_runner()
    Engine(fresh, tokenizer, limits=LIMITS).chat(conversation(turns), sampling=Sampling(max_tokens=5)).close()

    assert runner.caches[-1].entries == fresh.caches[-1].entries


CHANGES = {
    "picture": ([user(picture(1), text("What?"))], [user(picture(2), text("What?"))]),
    "kind": ([user(video(1, frames=4), text("a"))], [user(picture(1), picture(1), text("a"))]),
    "longer video": ([user(video(1, frames=4), text("a"))], [user(video(1, frames=6), text("a"))]),
    "shorter video": ([user(video(1, frames=8), text("a"))], [user(video(1, frames=2), text("a"))]),
    "shape": ([user(picture(1, 56, 84), text("a"))], [user(picture(1, 84, 56), text("a"))]),
    "question": ([user(picture(1), text("What?"))], [user(picture(1), text("Who?"))]),
    "nothing": ([user(picture(1), text("What?"))], [user(picture(1), text("What?"))]),
    "everything": ([user(text("What?"))], [{"role": "system", "content": "x"}, user(picture(1))]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_memory_equals_that_of_a_fresh_engine_whatever_changed(engine, runner, make_runner, tokenizer, name):
    before, after = CHANGES[name]
    engine.chat(conversation(before)).read()
    engine.chat(conversation(after)).close()
    fresh = make_runner()
    Engine(fresh, tokenizer, limits=LIMITS).chat(conversation(after)).close()

    assert runner.caches[-1].entries == fresh.caches[-1].entries


def test_the_same_picture_is_encoded_once(engine, runner) -> None:
    engine.chat(conversation([user(picture(1), picture(1), text("Spot the difference."))])).read()
    engine.chat(conversation([user(text("Now:"), picture(1))])).read()

    assert len(runner.named("encode")) == 1


def test_a_conversation_that_outgrows_its_memory_is_read_anew_without_the_vision_tower(engine, runner) -> None:
    engine.chat(conversation([user(picture(1))])).read()
    engine.chat(conversation([user(picture(1), text("z" * 3000))])).read()

    assert len(runner.named("cache")) == 2
    assert len(runner.named("encode")) == 1


def test_a_conversation_longer_than_the_model_is_refused_and_the_next_one_works(engine) -> None:
    with pytest.raises(PromptTooLong, match="4096"):
        engine.chat(conversation([user(text("z" * 5000))]))
    assert engine.chat(conversation([user(text("hi"))])).finish == ""


def test_two_conversations_at_once_do_not_disturb_each_other(engine, runner, make_runner, tokenizer) -> None:
    sampling = Sampling(max_tokens=6)
    questions = [[user(picture(n), text("What?"))] for n in range(2)]
    replies = [engine.chat(conversation(question), sampling=sampling) for question in questions]
    together = list(zip(*replies, strict=False))
    apart = [
        Engine(make_runner(), tokenizer, limits=LIMITS).chat(conversation(question), sampling=sampling).read()
        for question in questions
    ]

    assert together
    for reply, expected in zip(replies, apart, strict=True):
        assert reply.read() == expected[: len(reply.text)]


def test_an_abandoned_reply_gives_its_memory_back(engine, runner) -> None:
    for _ in engine.chat(conversation([user(picture(1))]), sampling=Sampling(max_tokens=9)):
        break
    reply = engine.chat(conversation([user(picture(1))]))

    assert len(runner.named("cache")) == 1
    assert reply.usage.reused_tokens > 6


def test_many_threads_may_chat(engine) -> None:
    failures: list[BaseException] = []

    def chat(number: int) -> None:
        try:
            for _ in range(3):
                engine.chat(
                    conversation([user(picture(number), text("What?"))]), sampling=Sampling(max_tokens=4)
                ).read()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_failing_device_loses_the_memory_but_not_the_engine(engine, runner) -> None:
    engine.chat(conversation([user(picture(1))])).read()
    runner.broken = MemoryError()
    with pytest.raises(MemoryError):
        engine.chat(conversation([user(picture(1), text("What?"))]))

    assert engine.chat(conversation([user(picture(1))])).usage.reused_tokens == 0


def test_choices_that_begin_alike_are_refused_before_anything_is_computed(engine, runner) -> None:
    engine.chat(conversation([user(picture(1))])).read()
    runner.calls.clear()
    with pytest.raises(PromptError, match="the choice"):
        engine.chat(conversation([user(text("A dog?"))]), choices=("Yes", "yes"))

    assert runner.calls == []
    assert engine.chat(conversation([user(picture(1))])).usage.reused_tokens > 6


def test_a_refused_conversation_does_not_cost_the_last_one_its_memory(engine) -> None:
    engine.chat(conversation([user(picture(1))])).read()
    with pytest.raises(PromptTooLong):
        engine.chat(conversation([user(text("z" * 5000))]))

    assert engine.chat(conversation([user(picture(1))])).usage.reused_tokens > 6


def test_a_large_conversation_does_not_take_the_place_of_a_small_one(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.engine.engine.LARGEST_KEPT", 2000)
    large = engine.chat(conversation([user(text("z" * 3000))]))
    engine.chat(conversation([user(picture(1))])).read()
    large.close()

    assert engine.chat(conversation([user(picture(1))])).usage.reused_tokens > 6


def test_a_conversation_may_have_choices(engine, runner, tokenizer) -> None:
    runner.say(tokenizer.encode("Yes"))
    reply = engine.chat(conversation([user(picture(1), text("A dog?"))]), choices=("Yes", "No"))

    assert reply.probabilities["Yes"] > 0.9


def test_an_engine_has_the_names_of_its_model(engine, runner, tokenizer) -> None:
    assert (engine.name, engine.variant) == ("fake", "none")
    assert Engine(runner, tokenizer, "pocket").name == "pocket"


def test_an_engine_opens_contexts_as_sessions_need_them(engine, make_group) -> None:
    from stream.asking import Engine as WhatASessionNeeds

    needed: WhatASessionNeeds = engine
    context = needed.open(4)
    context.append(make_group(0))

    assert "".join(context.answer("What?", (), 5)) is not None


class Timestamped(Qwen2VLLayout):
    """A family that writes the time before each group of a video."""

    def text_before_group(self, seconds: float) -> str:
        return f"<{seconds:.1f} seconds>"


def test_a_family_may_write_text_between_the_groups_of_a_video(make_runner, tokenizer) -> None:
    runner = make_runner()
    runner.facts = replace(runner.facts, family=replace(QWEN2_VL, layout=Timestamped()))
    frames = np.zeros((4, 56, 84, 3), dtype=np.uint8)
    content = [{"type": "video", "video": frames}, {"type": "text", "text": "What?"}]
    Engine(runner, tokenizer, limits=LIMITS).chat(conversation([{"role": "user", "content": content}])).close()
    kinds = [call[1] for call in runner.named("extend")]

    assert kinds == ["text", "text", "group", "text", "group", "text"]
    (_, _, _, _, _, first), (_, _, _, _, _, second) = [call for call in runner.named("extend") if call[1] == "group"]
    assert second - first == 3 + len(tokenizer.encode("<1.5 seconds>"))  # three columns are the largest side
