"""What a model is shown while it is quantized is what it will be asked: its own template, video, true answers."""

from __future__ import annotations

import numpy as np
import pytest

from edge.calibration.prompts import CalibrationPrompt, PromptBuilder, digest, misfit
from edge.engine.prompt import prompt_positions, stream_prefix, stream_suffix
from edge.engine.tokenizer import Tokenizer
from edge.examples.example import Example
from edge.examples.scenes import SHOWN_GROUPS, shown_scenes
from edge.hub import POCKET
from edge.media.limits import Limits
from edge.media.visual import Conversation, Visual
from edge.models.architecture import read_config
from edge.models.qwen2_vl import QWEN2_VL
from edge.models.qwen2_vl.layout import LAYOUT

MAX_PIXELS = 448 * 448
LIMITS = Limits.load(POCKET, QWEN2_VL.limits)


@pytest.fixture(scope="module")
def builder() -> PromptBuilder:
    return PromptBuilder(Tokenizer.load(POCKET), read_config(POCKET))


@pytest.fixture(scope="module")
def shown(builder: PromptBuilder) -> list[CalibrationPrompt]:
    return [builder.build(example) for example in shown_scenes(6, 0, LIMITS, MAX_PIXELS)]


def test_a_prompt_is_laid_out_as_a_stream_asks_it(builder: PromptBuilder) -> None:
    example = next(shown_scenes(1, 0, LIMITS, MAX_PIXELS))
    prompt, tokenizer = builder.build(example), builder.tokenizer
    question = example.conversation.messages[-1]["content"][-1]["text"]
    prefix, suffix = stream_prefix(tokenizer, LAYOUT), stream_suffix(tokenizer, LAYOUT, question)
    rows, columns = (side // 28 for side in example.groups[0].shape[1:3])
    video, answer = len(example.groups) * rows * columns, tokenizer.encode(f"{example.answer}<|im_end|>")
    assert prompt.tokens[~prompt.vision].tolist() == [*prefix, *suffix, *answer]
    assert prompt.vision.nonzero()[0].tolist() == list(range(len(prefix), len(prefix) + video))
    parts = [len(prefix), (len(example.groups), rows, columns), len(suffix), len(answer)]
    assert np.array_equal(prompt.positions, prompt_positions(LAYOUT, parts))


def test_equal_seeds_show_the_same_and_others_something_else(
    builder: PromptBuilder, shown: list[CalibrationPrompt]
) -> None:
    again, other = (
        [builder.build(example) for example in shown_scenes(6, seed, LIMITS, MAX_PIXELS)] for seed in (0, 1)
    )
    assert digest(shown) == digest(again) != digest(other)


def test_windows_of_several_lengths_are_shown(shown: list[CalibrationPrompt]) -> None:
    assert len({len(prompt.groups) for prompt in shown}) > 1
    assert max(len(prompt.groups) for prompt in shown) <= SHOWN_GROUPS


def visual(height: int, width: int) -> Visual:
    return Visual("image", (np.zeros((2, height, width, 3), np.uint8),), (0.0,))


def test_a_conversation_of_several_turns_and_pictures_keeps_the_place_of_each(builder: PromptBuilder) -> None:
    said = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "And this?"}]},
        {"role": "assistant", "content": "A circle."},
        {"role": "user", "content": [{"type": "text", "text": "Now?"}, {"type": "image"}]},
    )
    prompt = builder.build(Example(Conversation(said, (visual(112, 168), visual(112, 168))), "A square.", "line 1"))
    places = prompt.vision.nonzero()[0]
    first, second = places[:24], places[24:]
    assert len(prompt.groups) == 2 and len(second) == 24  # 4 x 6 tokens each
    assert first.tolist() == list(range(first[0], first[0] + 24)) and second[0] > first[-1] + 1
    text = builder.tokenizer.decode(prompt.tokens[~prompt.vision].tolist())
    assert text.index("Be brief.") < text.index("And this?") < text.index("A circle.") < text.index("Now?")
    assert text.endswith("A square.<|im_end|>")


@pytest.mark.parametrize(
    ("visuals", "reason"),
    [
        ((), "shows no picture"),
        ((visual(112, 168), visual(168, 112)), "168x112 and 112x168"),
        ((visual(112, 112),), ""),
    ],
)
def test_what_calibration_cannot_show_is_told(visuals: tuple[Visual, ...], reason: str) -> None:
    found = misfit(Example(Conversation((), visuals), "", "line 1"))
    assert reason in found and bool(found) == bool(reason)
