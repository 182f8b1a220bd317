from __future__ import annotations

import re
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.engine.context import ROOM_FOR_QUESTION, Context
from edge.engine.engine import Engine
from edge.engine.prompt import stream_prefix, stream_suffix
from edge.engine.sampling import Sampling
from edge.errors import NothingSeen, PromptError, PromptTooLong
from edge.models.qwen2_vl import QWEN2_VL
from edge.models.qwen2_vl.layout import LAYOUT, Qwen2VLLayout

GROUP = 6  # tokens of a group of 56 x 84


@pytest.fixture
def prefix(tokenizer) -> int:
    return len(stream_prefix(tokenizer, LAYOUT))


@pytest.fixture
def context(runner, tokenizer) -> Context:
    return Context(runner, tokenizer, max_groups=4)


def spans(runner) -> list[tuple[int, int]]:
    """First and last index of the windows a runner's `extend` calls for groups amount to."""
    return [(call[2], call[3]) for call in runner.named("extend") if call[1] == "group"]


def test_each_group_is_encoded_once_and_the_prefix_written_once(runner, context, make_group, prefix) -> None:
    for index in range(25):
        context.append(make_group(index))
        context.answer("What?").read()

    assert len(runner.named("encode")) == 25
    written_at_start = [call for call in runner.named("extend") if call[2] == 0]
    assert written_at_start == [("extend", "text", 0, prefix, 0, 0)]
    assert len(runner.named("cache")) == 1


def test_a_growing_window_costs_its_new_group_only(runner, context, make_group, prefix) -> None:
    context.append(make_group(0))
    runner.calls.clear()
    context.append(make_group(1))

    assert runner.calls == [
        ("encode", (2, 56, 84, 3)),
        ("extend", "group", prefix + GROUP, GROUP, 0, prefix + 1),
    ]


def test_a_full_window_is_rebuilt_from_its_newest_half(runner, context, make_group, prefix) -> None:
    windows = []
    for index in range(9):
        context.append(make_group(index))
        windows.append((context.window.first, context.window.last))

    assert windows == [(0, 0), (0, 1), (0, 2), (0, 3), (2, 4), (2, 5), (4, 6), (4, 7), (6, 8)]
    assert ("crop", prefix) in runner.calls
    assert runner.caches[0].length == prefix + 3 * GROUP


@pytest.mark.parametrize(("max_groups", "kept"), [(1, 1), (2, 2), (3, 2), (5, 3)])
def test_windows_of_any_length_stay_within_it(runner, tokenizer, make_group, max_groups, kept) -> None:
    context = Context(runner, tokenizer, max_groups)
    for index in range(max_groups + 1):
        context.append(make_group(index))

    assert len(context.window) == kept


def test_an_answer_leaves_nothing_behind(runner, context, make_group, tokenizer, prefix) -> None:
    context.append(make_group(0))
    before = list(runner.caches[0].entries)
    runner.say(tokenizer.encode("A dog."))
    assert context.answer("What?").read() == "A dog."
    context.append(make_group(1))

    assert runner.caches[0].entries[: prefix + GROUP] == before
    assert runner.caches[0].length == prefix + 2 * GROUP


def test_the_question_comes_after_the_video_where_training_put_it(runner, context, make_group, tokenizer, prefix):
    suffix = len(stream_suffix(tokenizer, LAYOUT, "What?"))
    for index in range(4):
        context.append(make_group(index))
        context.answer("What?")
    asked = [call for call in runner.named("extend") if call[4] == 1]

    assert [call[3] for call in asked] == [suffix] * 4
    # The start stays while there are fewer groups than columns (3), then moves by one a group.
    assert [call[5] for call in asked] == [prefix + 3, prefix + 3, prefix + 3, prefix + 4]


def test_the_same_question_asked_again_is_the_same_call(runner, context, make_group) -> None:
    context.append(make_group(0))
    first, entries = context.answer("What?").read(), list(runner.caches[0].entries)
    second = context.answer("What?").read()

    assert first == second
    assert runner.caches[0].entries == entries


def test_an_abandoned_reply_is_cropped_away(runner, context, make_group, tokenizer, prefix) -> None:
    context.append(make_group(0))
    runner.say(tokenizer.encode("A dog runs over the street."))
    for _ in context.answer("What?"):
        break
    context.answer("Unread?")
    context.append(make_group(1))

    assert runner.caches[0].length == prefix + 2 * GROUP


def test_a_reply_that_was_overtaken_cannot_write(runner, context, make_group, tokenizer) -> None:
    context.append(make_group(0))
    runner.say(tokenizer.encode("A dog runs over the street."))
    pieces = iter(context.answer("What?"))
    next(pieces)
    context.append(make_group(1))
    length = runner.caches[0].length

    with pytest.raises(RuntimeError, match="this reply is over"):
        next(pieces)
    assert runner.caches[0].length == length


@pytest.mark.parametrize("index", [7, 1, 0])
def test_a_gap_in_the_index_begins_anew(runner, context, make_group, prefix, index: int) -> None:
    context.append(make_group(0))
    context.append(make_group(1))
    context.append(make_group(index))

    assert (context.window.first, context.window.last) == (index, index)
    assert runner.caches[0].length == prefix + GROUP
    assert len(runner.named("cache")) == 1


def test_another_size_begins_anew_in_a_cache_of_its_own(runner, context, make_group, prefix) -> None:
    context.append(make_group(0))
    context.append(make_group(1, size=(84, 84)))

    assert len(context.window) == 1
    assert runner.caches[-1].length == prefix + 9
    assert runner.caches[-1].capacity >= prefix + 4 * 9 + ROOM_FOR_QUESTION


def test_an_unchanged_picture_is_not_encoded_again(runner, context, make_group) -> None:
    for index, shade in enumerate([5, 5, 6, 5]):
        context.append(make_group(index, shade=shade))

    assert len(runner.named("encode")) == 3
    assert len(context.window) == 4


def test_a_group_may_come_back_in_another_place(runner, context, make_group) -> None:
    """The embeddings of an unchanged picture are the same, its position is not."""
    context.append(make_group(0, shade=5))
    context.append(make_group(1, shade=5))
    starts = [call[5] for call in runner.named("extend") if call[1] == "group"]

    assert starts[1] == starts[0] + 1


def test_the_window_tells_the_times_of_its_groups(context, make_group) -> None:
    assert context.window is None
    context.append(make_group(3))
    context.append(make_group(4))
    window = context.window

    assert (window.start, window.end, window.captured, window.clock) == (3.0, 4.5, 4.6, "synthetic")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    max_groups=st.integers(1, 6),
    steps=st.lists(st.sampled_from(["append", "append", "append", "gap", "ask", "abandon"]), max_size=25),
    drafts=st.booleans(),
)
def test_a_context_that_reused_equals_a_fresh_one(make_runner, tokenizer, make_group, max_groups, steps, drafts):
    """Same content and same positions, in calls of the same shapes: so runners that compute the same for the
    same call agree to the bit. A drafted answer alone is written in other pieces."""
    used_runner, fresh_runner = make_runner(), make_runner()
    used = Context(used_runner, tokenizer, max_groups, drafts=drafts)
    index = 0
    for step in ["append", *steps]:
        if step in ("append", "gap"):
            index += 1 if step == "append" else 3
            used.append(make_group(index))
        elif step == "ask":
            used.answer("What?", max_tokens=3).read()
        else:
            next(iter(used.answer("Now?", max_tokens=5)), None)
    fresh = Context(fresh_runner, tokenizer, max_groups)
    for shown in range(used.window.first, used.window.last + 1):
        fresh.append(make_group(shown))
    written = fresh_runner.caches[-1].length
    answers = [context.answer("What?", max_tokens=9).read() for context in (used, fresh)]

    assert answers[0] == answers[1]
    entries = [runner.caches[-1].entries for runner in (used_runner, fresh_runner)]
    assert entries[0][: len(entries[1])] == entries[1]
    assert used_runner.caches[-1].capacity == fresh_runner.caches[-1].capacity
    writing = [last_writing(runner) for runner in (used_runner, fresh_runner)]
    if drafts:
        writing = [{at: call for at, call in calls.items() if at <= written} for calls in writing]
    else:
        assert entries[0] == entries[1]
    assert writing[0] == writing[1]


def last_writing(runner) -> dict[int, tuple]:
    """For every place in the cache the call that last wrote there."""
    written: dict[int, tuple] = {}
    for call in runner.named("extend", "crop"):
        if call[0] == "crop":
            written = {start: other for start, other in written.items() if start < call[1]}
        else:
            written[call[2]] = call
    return written


def test_a_question_before_the_first_picture_is_refused(context) -> None:
    with pytest.raises(NothingSeen):
        context.answer("What?")


def test_a_long_question_makes_room_for_itself_once(runner, context, make_group, tokenizer) -> None:
    for index in range(3):
        context.append(make_group(index))
    encoded = len(runner.named("encode"))
    question = "z" * 500
    short = runner.caches[0].entries[:]
    context.answer(question).read()
    context.append(make_group(3))
    context.answer(question).read()

    assert len(runner.named("cache")) == 2
    assert len(runner.named("encode")) == encoded + 1
    assert runner.caches[1].entries[: len(short)] == short


def test_a_question_that_the_model_cannot_take_is_refused(runner, context, make_group) -> None:
    context.append(make_group(0))

    with pytest.raises(PromptTooLong, match="4096 positions"):
        context.answer("z" * 5000)
    assert context.answer("What?").read() is not None


def test_a_window_that_the_model_cannot_take_is_refused(runner, tokenizer, make_group) -> None:
    context = Context(runner, tokenizer, max_groups=4000)

    with pytest.raises(PromptTooLong, match=r"4000 groups.*longest has") as refused:
        context.append(make_group(0))

    (longest,) = re.findall(r"longest has (\d+) groups", str(refused.value))
    Context(runner, tokenizer, int(longest)).append(make_group(0))
    with pytest.raises(PromptTooLong):
        Context(runner, tokenizer, int(longest) + 1).append(make_group(0))


def test_an_answer_ends_where_the_model_does(make_runner, tokenizer, make_group) -> None:
    runner = make_runner(max_positions=400)
    context = Context(runner, tokenizer, max_groups=2)
    context.append(make_group(0))
    runner.say([10, 11, 12] * 2 + list(range(20, 120)) * 5)
    reply = context.answer("What?", max_tokens=10_000)
    reply.read()

    assert reply.finish == "length"
    assert max(call[5] for call in runner.named("extend")) < 400


@pytest.mark.parametrize("step", range(3))
def test_a_failing_device_leaves_a_context_that_works(runner, context, make_group, prefix, step: int) -> None:
    for index in range(4):
        context.append(make_group(index))
    runner.broken = MemoryError()
    with pytest.raises(MemoryError):
        context.append(make_group(4)) if step < 2 else context.answer("What?")
    for index in range(4 + step, 7):
        context.append(make_group(index))
    context.answer("What?").read()
    window = context.window

    assert window.last == 6
    context.append(make_group(7))
    assert runner.caches[0].length == prefix + GROUP * len(context.window)


def test_sampling_can_be_chosen_per_stream_and_per_question(runner, tokenizer, make_group) -> None:
    context = Context(runner, tokenizer, 2, sampling=Sampling(max_tokens=5))
    context.append(make_group(0))
    runner.say(range(30, 90))
    assert context.answer("What?").sampling.max_tokens == 5
    assert context.answer("What?", max_tokens=2).sampling.max_tokens == 2
    assert context.answer("What?", sampling=Sampling(temperature=1.0)).sampling.temperature == 1.0


def test_choices_that_begin_alike_are_refused_before_anything_is_computed(runner, context, make_group) -> None:
    context.append(make_group(0))
    reply = context.answer("What?")
    runner.calls.clear()
    with pytest.raises(PromptError, match="the choice"):
        context.answer("A dog?", choices=("Yes", "yes"))

    assert runner.calls == []
    assert reply.read()  # whose turn has not ended


def test_choices_have_probabilities_before_anything_is_read(runner, context, make_group, tokenizer) -> None:
    context.append(make_group(0))
    runner.say(tokenizer.encode("No"))
    reply = context.answer("A dog?", choices=("Yes", "No"))

    assert reply.probabilities["No"] > 0.5
    assert len(runner.named("logits")) == 1
    assert reply.read() == "No"
    assert len(runner.named("logits")) == 1


def test_usage_counts_what_was_in_memory(context, make_group, prefix, tokenizer) -> None:
    context.append(make_group(0))
    usage = context.answer("What?").usage

    assert usage.text_tokens == prefix + len(stream_suffix(tokenizer, LAYOUT, "What?"))
    assert (usage.visual_tokens, usage.reused_tokens) == (GROUP, prefix + GROUP)


def test_a_window_holds_at_least_one_group(runner, tokenizer) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Context(runner, tokenizer, 0)


def test_pictures_that_a_source_writes_over_are_not_mistaken_for_unchanged_ones(runner, context, make_group):
    buffer = np.zeros((2, 56, 84, 3), dtype=np.uint8)
    for index in range(2):
        buffer[:] = index
        group = make_group(index)
        object.__setattr__(group, "pixels", buffer)
        context.append(group)

    assert len(runner.named("encode")) == 2


class Timestamped(Qwen2VLLayout):
    """A family that writes the time before each group, as Qwen3-VL does: each group is then a visual of its own."""

    def text_before_group(self, seconds: float) -> str:
        return f"<{seconds:.1f} seconds>"


def test_a_family_may_write_text_between_groups(make_runner, make_group, tokenizer) -> None:
    runner = make_runner()
    runner.facts = replace(runner.facts, family=replace(QWEN2_VL, layout=Timestamped()))
    context = Context(runner, tokenizer, max_groups=2)
    for index in range(3):  # the third begins the window anew, with the second
        context.append(make_group(index))
    before = len(tokenizer.encode("<0.5 seconds>"))
    start = len(stream_prefix(tokenizer, LAYOUT))
    cache = runner.caches[-1]

    assert cache.length == start + 2 * (before + 6)
    first, second = [call for call in runner.named("extend") if call[1] == "group"][-2:]
    assert first[5] == start + before
    assert second[5] == first[5] + 3 + before  # three columns are the largest side
    "".join(context.answer("What?"))
    fresh = Context(runner, tokenizer, max_groups=2)
    for index in (1, 2):
        fresh.append(make_group(index))
    assert runner.caches[-1].entries == cache.entries[: start + 2 * (before + 6)]


def test_a_closed_context_holds_nothing_and_may_begin_anew(runner, make_group, tokenizer) -> None:
    context = Context(runner, tokenizer, max_groups=2)
    context.append(make_group(0))
    context.close()
    assert context.window is None
    with pytest.raises(NothingSeen):
        context.answer("What?")
    context.append(make_group(5))
    assert context.window is not None and context.window.first == 5


@pytest.mark.parametrize("ending", ["close", "another size"])
def test_memory_is_given_back_with_the_window_also_after_an_answer(runner, context, make_group, ending: str) -> None:
    context.append(make_group(0))
    context.answer("What?", max_tokens=3).read()
    cache = weakref.ref(runner.caches.pop())
    held = []
    make = runner.cache
    runner.cache = lambda capacity: (held.append(cache()), make(capacity))[1]
    context.close() if ending == "close" else context.append(make_group(1, size=(84, 84)))

    assert cache() is None
    assert held == ([] if ending == "close" else [None])  # the old one was gone before the new one came


def test_a_closed_context_holds_nothing_and_its_last_reply_is_over(runner, context, make_group) -> None:
    context.append(make_group(0))
    reply = context.answer("What?")
    context.close()
    context.close()

    assert context.window is None
    with pytest.raises(NothingSeen):
        context.answer("What?")
    with pytest.raises(RuntimeError, match="is over"):
        reply.read()


class Unhurried:
    """A clock by which every pass takes the same time, so that writing ahead always pays."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now


@pytest.fixture
def drafting(runner, tokenizer, make_group) -> Context:
    """A stream that has been asked something, and so knows what a pass takes."""
    context = Context(runner, tokenizer, max_groups=4, clock=Unhurried())
    context.append(make_group(0))
    context.answer("Where?", max_tokens=8).read()
    return context


def test_the_last_answer_to_a_question_is_the_draft_of_the_next(runner, drafting) -> None:
    first = drafting.answer("What?", max_tokens=12)
    first.read()
    runner.calls.clear()
    second = drafting.answer("What?", max_tokens=12)

    assert second.read() == first.text
    assert (first.accepted, second.accepted) == (0, 10)
    _question, *passes = [call[3] for call in runner.named("extend")]
    assert passes == [11]  # the last token need not be written


def test_each_question_has_a_draft_of_its_own(drafting) -> None:
    other = drafting.answer("Who?", max_tokens=12)
    other.read()
    again = drafting.answer("Where?", max_tokens=8)
    again.read()

    assert (other.accepted, again.accepted) == (0, 6)


def test_half_an_answer_is_no_draft(drafting) -> None:
    next(iter(drafting.answer("Where?", max_tokens=8)))
    again = drafting.answer("Where?", max_tokens=8)
    again.read()

    assert again.accepted == 6


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.5), Sampling(repetition_penalty=1.2)])
def test_where_sampling_is_not_greedy_nothing_is_written_ahead(runner, drafting, sampling) -> None:
    for _ in range(2):
        drafting.answer("Where?", sampling=sampling, max_tokens=8).read()
        reply = drafting.answer("Where?", sampling=sampling, max_tokens=8)
        runner.calls.clear()
        reply.read()
        assert reply.accepted == 0
        assert {call[3] for call in runner.named("extend")} == {1}


def test_drafts_can_be_turned_off(runner, tokenizer, make_group) -> None:
    context = Engine(runner, tokenizer, drafts=False).open(4)
    context.append(make_group(0))
    for _ in range(3):
        reply = context.answer("What?", max_tokens=8)
        reply.read()

    assert reply.accepted == 0


def test_a_closed_context_has_forgotten_what_was_said(drafting, make_group) -> None:
    drafting.close()
    drafting.append(make_group(0))
    reply = drafting.answer("Where?", max_tokens=8)
    reply.read()

    assert reply.accepted == 0


def test_what_was_written_ahead_is_cropped_away_with_an_abandoned_reply(runner, drafting, make_group, prefix) -> None:
    pieces = iter(drafting.answer("Where?", max_tokens=8))
    next(pieces)
    next(pieces)
    drafting.append(make_group(1))

    assert runner.caches[0].length == prefix + 2 * GROUP
    with pytest.raises(RuntimeError, match="this reply is over"):
        next(pieces)


def test_choices_have_their_probabilities_with_a_draft_too(drafting) -> None:
    first, second = (drafting.answer("Where?", choices=("Yes", "No"), max_tokens=8) for _ in range(2))
    second.read()

    assert second.accepted == 6
    assert second.probabilities == first.probabilities
