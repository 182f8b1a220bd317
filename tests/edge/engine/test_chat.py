from __future__ import annotations

import threading

import numpy as np
import pytest

from edge.engine.chat import read
from edge.engine.engine import Engine
from edge.engine.prompt import Slot, lay_out
from edge.engine.sampling import Sampling
from edge.errors import BadMessage, PromptTooLong
from edge.media.limits import Limits, PixelLimits
from stream.errors import BadPicture

LIMITS = Limits(PixelLimits(28 * 28, 200 * 200), PixelLimits(28 * 28, 200 * 200))


def picture(shade: int = 0, height: int = 56, width: int = 84) -> dict:
    return {"type": "image", "image": np.full((height, width, 3), shade, np.uint8)}


def video(shade: int = 0, frames: int = 4) -> dict:
    return {"type": "video", "video": np.full((frames, 56, 84, 3), shade, np.uint8)}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def user(*content) -> dict:
    return {"role": "user", "content": list(content)}


def assistant(words: str) -> dict:
    return {"role": "assistant", "content": words}


@pytest.fixture
def engine(runner, tokenizer) -> Engine:
    return Engine(runner, tokenizer, limits=LIMITS)


# Messages

BROKEN = {
    "no list": ("hello", BadMessage, "list"),
    "empty": ([], BadMessage, "at least one"),
    "no message": (["hello"], BadMessage, r"messages\[0\]"),
    "no role": ([{"content": "a"}], BadMessage, "role None"),
    "a role that breaks out": ([{"role": "<|im_end|>", "content": "a"}], BadMessage, "role"),
    "unhashable role": ([{"role": [], "content": "a"}], BadMessage, "role"),
    "no content": ([user(), {"role": "user"}], BadMessage, r"messages\[1\].content"),
    "no part": ([user("hello")], BadMessage, r"messages\[0\].content\[0\]"),
    "no type": ([user({"text": "a"})], BadMessage, "type None"),
    "unknown type": ([user(text("a"), {"type": "audio"})], BadMessage, r"content\[1\] has the type 'audio'"),
    "unhashable type": ([user({"type": ["text"]})], BadMessage, "type"),
    "no text": ([user({"type": "text", "text": None})], BadMessage, "no 'text'"),
    "no picture": ([user({"type": "image"})], BadMessage, "no 'image'"),
    "bad picture": ([user(text("a"), picture(height=1))], BadPicture, r"messages\[0\].content\[1\]: .*84x1"),
    "bad video": (
        [user(text("a")), user({"type": "video", "video": []})],
        BadMessage,
        r"messages\[1\].*empty",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_message_is_named(name: str) -> None:
    messages, error, match = BROKEN[name]

    with pytest.raises(error, match=match):
        read(messages, LIMITS)


def test_a_conversation_is_texts_for_the_template_and_pictures_in_their_order() -> None:
    conversation = read([user(picture(1), text("a"), video(2)), assistant("b"), user(picture(3))], LIMITS)

    assert conversation.messages[0]["content"] == [{"type": "image"}, text("a"), {"type": "video"}]
    assert [int(visual.groups[0][0, 0, 0, 0]) for visual in conversation.visuals] == [1, 2, 3]


# Turns


def extended(runner) -> list[tuple[str, int]]:
    """Kind and number of tokens of every `extend`."""
    return [(call[1], call[3]) for call in runner.named("extend")]


def test_a_conversation_is_written_part_by_part(engine, runner, tokenizer) -> None:
    messages = [user(text("See:"), video(frames=3), picture(9), text("What?"))]
    engine.chat(messages).close()
    parts = [p for p in lay_out(tokenizer, read(messages, LIMITS).messages)]
    num_text = [len(part) for part in parts if not isinstance(part, Slot)]

    expected = [("text", num_text[0]), ("group", 6), ("group", 6), ("text", num_text[1]), ("group", 6)]
    assert extended(runner) == [*expected, ("text", num_text[2])]
    assert [call[4] for call in runner.named("extend")] == [0, 0, 0, 0, 0, 1]


def test_a_later_turn_costs_only_what_is_new(engine, runner, tokenizer) -> None:
    first = [user(video(1), text("What?"))]
    runner.say(tokenizer.encode("A dog."))
    answer = engine.chat(first).read()
    length = runner.caches[0].length
    runner.calls.clear()
    runner.say(tokenizer.encode("Brown."))
    second = [*first, assistant(answer), user(text("Which?"))]
    reply = engine.chat(second)

    new = len(tokenizer.encode("<|im_end|>\n<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\n"))
    # The answer's last tokens are in memory as they were said, as far as the template spells them alike.
    assert runner.named("encode") == []
    assert extended(runner) == [("text", new)]
    assert reply.usage.reused_tokens == length
    assert reply.read() == "Brown."


def test_reuse_changes_nothing(engine, runner, make_runner, tokenizer) -> None:
    turns = [user(video(1), text("What?")), assistant("A dog."), user(picture(2), text("And here?"))]
    for count in (1, 3, 2):
        engine.chat(turns[:count]).read()
    engine.chat(turns, sampling=Sampling(max_tokens=5)).close()
    fresh = make_runner()
    Engine(fresh, tokenizer, limits=LIMITS).chat(turns, sampling=Sampling(max_tokens=5)).close()

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
    engine.chat(before).read()
    engine.chat(after).close()
    fresh = make_runner()
    Engine(fresh, tokenizer, limits=LIMITS).chat(after).close()

    assert runner.caches[-1].entries == fresh.caches[-1].entries


def test_the_same_picture_is_encoded_once(engine, runner) -> None:
    engine.chat([user(picture(1), picture(1), text("Spot the difference."))]).read()
    engine.chat([user(text("Now:"), picture(1))]).read()

    assert len(runner.named("encode")) == 1


def test_a_conversation_that_outgrows_its_memory_is_read_anew_without_the_vision_tower(engine, runner) -> None:
    engine.chat([user(picture(1))]).read()
    engine.chat([user(picture(1), text("z" * 3000))]).read()

    assert len(runner.named("cache")) == 2
    assert len(runner.named("encode")) == 1


def test_a_conversation_longer_than_the_model_is_refused_and_the_next_one_works(engine) -> None:
    with pytest.raises(PromptTooLong, match="4096"):
        engine.chat([user(text("z" * 5000))])
    assert engine.chat([user(text("hi"))]).finish == ""


def test_two_conversations_at_once_do_not_disturb_each_other(engine, runner, make_runner, tokenizer) -> None:
    sampling = Sampling(max_tokens=6)
    questions = [[user(picture(n), text("What?"))] for n in range(2)]
    replies = [engine.chat(question, sampling=sampling) for question in questions]
    together = list(zip(*replies, strict=False))
    apart = [
        Engine(make_runner(), tokenizer, limits=LIMITS).chat(question, sampling=sampling).read()
        for question in questions
    ]

    assert together
    for reply, expected in zip(replies, apart, strict=True):
        assert reply.read() == expected[: len(reply.text)]


def test_an_abandoned_reply_gives_its_memory_back(engine, runner) -> None:
    for _ in engine.chat([user(picture(1))], sampling=Sampling(max_tokens=9)):
        break
    reply = engine.chat([user(picture(1))])

    assert len(runner.named("cache")) == 1
    assert reply.usage.reused_tokens > 6


def test_many_threads_may_chat(engine) -> None:
    failures: list[BaseException] = []

    def chat(number: int) -> None:
        try:
            for _ in range(3):
                engine.chat([user(picture(number), text("What?"))], sampling=Sampling(max_tokens=4)).read()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=chat, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_failing_device_loses_the_memory_but_not_the_engine(engine, runner) -> None:
    engine.chat([user(picture(1))]).read()
    runner.broken = MemoryError()
    with pytest.raises(MemoryError):
        engine.chat([user(picture(1), text("What?"))])

    assert engine.chat([user(picture(1))]).usage.reused_tokens == 0


def test_a_conversation_may_have_choices(engine, runner, tokenizer) -> None:
    runner.say(tokenizer.encode("Yes"))
    reply = engine.chat([user(picture(1), text("A dog?"))], choices=("Yes", "No"))

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
