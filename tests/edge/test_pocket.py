"""pocket is an ordinary Qwen2-VL: other engines load it and say the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

import edge
from edge.api import Model
from edge.engine.engine import Engine
from edge.engine.sampling import Sampling
from edge.hub import POCKET
from edge.models.qwen2_vl.patches import normalize, patchify
from stream.frame import Group
from stream.sources.scene import Scene

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return edge.load("pocket", device="cpu").engine


def window(seed: int, count: int, height: int = 112, width: int = 168) -> list[Group]:
    scene = Scene(seed, width, height, duration=10.0)
    frames = [scene.render(index / 2, height, width) for index in range(2 * count)]
    return [
        Group(i, np.stack(frames[2 * i : 2 * i + 2]), (i, i + 0.5), 0.0, "synthetic", 2, frames[2 * i + 1])
        for i in range(count)
    ]


def test_it_is_small_and_its_widths_suit_quantization(engine: Engine) -> None:
    model = engine.runner.model
    assert sum(parameter.numel() for parameter in model.parameters()) <= 12e6
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert module.in_features % 128 == 0 and module.out_features % 128 == 0, name


def test_its_special_tokens_and_template_are_qwen2_vls(engine: Engine) -> None:
    added = json.loads((POCKET / "tokenizer.json").read_text())["added_tokens"]
    assert [token["content"] for token in added if token["special"]] == list(SPECIAL_TOKENS)
    ids = [engine.tokenizer.encode(token).tolist() for token in SPECIAL_TOKENS]
    assert [len(one) for one in ids] == [1] * len(SPECIAL_TOKENS)
    assert ids == sorted(ids)


def test_its_chat_template_is_the_real_one(qwen2_tokenizer) -> None:
    real = (qwen2_tokenizer / "chat_template.jinja").read_text()
    assert json.loads((POCKET / "chat_template.json").read_text())["chat_template"] == real
    assert json.loads((POCKET / "tokenizer_config.json").read_text())["chat_template"] == real


@pytest.mark.parametrize("seed, groups", [(1, 1), (2, 2), (3, 4)])
@pytest.mark.parametrize("question", ["Describe the video.", "Find the red circle.", "Is anything moving?"])
def test_transformers_gives_the_same_tokens(engine: Engine, seed: int, groups: int, question: str) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(POCKET, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET)
    seen = window(seed, groups)
    context = engine.open(groups)
    for group in seen:
        context.append(group)
    ours = "".join(context.answer(question, max_tokens=48))

    message = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    text = text.replace("<|video_pad|>", "<|video_pad|>" * (groups * 4 * 6))
    ids = tokenizer(text, return_tensors="pt").input_ids
    out = theirs.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=torch.where(ids == theirs.config.video_token_id, 2, 0).int(),
        pixel_values_videos=flat_patches(engine, np.stack([group.pixels for group in seen])),
        video_grid_thw=torch.tensor([[groups, 8, 12]]),
        max_new_tokens=48,
        do_sample=False,
    )
    said = tokenizer.decode(out[0, ids.shape[1] :])
    assert said.removesuffix("<|im_end|>") == ours.removesuffix("<|im_end|>")


@pytest.mark.parametrize("second_turn", [False, True])
def test_a_conversation_with_pictures_and_a_clip_agrees_with_transformers(engine: Engine, second_turn: bool) -> None:
    """Through `Model.chat`: a picture, a clip of three groups, text around them, and a turn that reuses memory."""
    transformers = pytest.importorskip("transformers")
    picture = Scene(11).render(0.0, 112, 112)
    clip = np.concatenate([group.pixels for group in window(12, 3)])
    content = [{"type": "image", "image": picture}, {"type": "text", "text": "A picture, and a clip:"},
               {"type": "video", "video": clip}, {"type": "text", "text": "Describe the video."}]  # fmt: skip
    messages = [{"role": "user", "content": content}]
    if second_turn:
        first = Model(engine).chat(messages, sampling=Sampling(max_tokens=24))
        messages += [{"role": "assistant", "content": "".join(first).removesuffix("<|im_end|>")},
                     {"role": "user", "content": "Is anything moving?"}]  # fmt: skip
    reply = Model(engine).chat(messages, sampling=Sampling(max_tokens=32))
    ours = "".join(reply)
    assert (reply.usage.reused_tokens > reply.usage.visual_tokens) == second_turn
    assert reply.usage.visual_tokens == 16 + 3 * 24

    theirs = transformers.Qwen2VLForConditionalGeneration.from_pretrained(POCKET, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(POCKET)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    text = text.replace("<|image_pad|>", "<|image_pad|>" * 16).replace("<|video_pad|>", "<|video_pad|>" * 72)
    ids = tokenizer(text, return_tensors="pt").input_ids
    kinds = torch.zeros_like(ids, dtype=torch.int)
    kinds[ids == theirs.config.image_token_id], kinds[ids == theirs.config.video_token_id] = 1, 2
    out = theirs.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=kinds,
        pixel_values=flat_patches(engine, picture[None, None].repeat(2, 1)),
        image_grid_thw=torch.tensor([[1, 8, 8]]),
        pixel_values_videos=flat_patches(engine, clip.reshape(3, 2, 112, 168, 3)),
        video_grid_thw=torch.tensor([[3, 8, 12]]), max_new_tokens=32, do_sample=False,
    )  # fmt: skip
    said = tokenizer.decode(out[0, ids.shape[1] :])
    assert said.removesuffix("<|im_end|>") == ours.removesuffix("<|im_end|>")


def flat_patches(engine: Engine, frames: np.ndarray) -> torch.Tensor:
    """(groups, 2, height, width, 3) bytes as the patches `transformers` takes."""
    normal = normalize(torch.from_numpy(frames).permute(0, 1, 4, 2, 3))
    return patchify(normal, engine.runner.model.config.vision).flatten(0, 1)


def test_probabilities_of_yes_and_no_are_probabilities(engine: Engine) -> None:
    context = engine.open(2)
    context.append(window(4, 1)[0])
    reply = context.answer("Is anything moving? Answer yes or no.", ("Yes", "No"), max_tokens=1)
    assert math.isclose(sum(reply.probabilities.values()), 1.0, rel_tol=1e-6)
    assert all(0 <= value <= 1 for value in reply.probabilities.values())
