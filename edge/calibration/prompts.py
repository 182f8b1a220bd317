"""Prompts to calibrate with: examples through the model's own chat template, with their answers.

Answers are part of a prompt, for a model reads its own answer while it writes it. Knows no weights.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engine.prompt import Slot, lay_out, prompt_positions
from edge.engine.tokenizer import Tokenizer
from edge.examples.example import Example
from edge.media.visual import FramePair
from edge.models.architecture import Config
from edge.models.family import Positions, Tokens


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPrompt:
    """An example as the model reads it: tokens with the answer, and the pictures that take the places among them."""

    groups: tuple[FramePair, ...]  # all of one size
    tokens: Tokens  # (n,), with the model's image and video tokens where the pictures go
    positions: Positions  # (3, n)
    vision: NDArray[np.bool_]  # (n,): which tokens are pictures


def misfit(example: Example) -> str:
    """Why calibration cannot show an example; "" where it can."""
    if not example.groups:
        return "it shows no picture, and the vision tower is calibrated too"
    if len(sizes := {group.shape[1:3] for group in example.groups}) > 1:
        said = " and ".join(f"{width}x{height}" for height, width in sorted(sizes))
        return (
            f"its pictures are {said} for the model; calibration takes one size a line (resized_height, resized_width)"
        )
    return ""


class PromptBuilder:
    """Makes prompts of examples, for one model: its chat template, its tokens, its positions."""

    def __init__(self, tokenizer: Tokenizer, config: Config) -> None:
        self.tokenizer, self.layout = tokenizer, config.family.layout
        self.cell, self.tokens = config.cell, {"image": config.image_token_id, "video": config.video_token_id}

    def build(self, example: Example) -> CalibrationPrompt:
        parts = lay_out(self.tokenizer, self.layout, example.conversation.messages)
        if example.answer:
            parts.append(self.tokenizer.encode(f"{example.answer}<|im_end|>"))
        visuals = iter(example.conversation.visuals)
        shapes: list[int | tuple[int, int, int]] = []
        rows_of_tokens: list[Tokens] = []
        for part in parts:
            if isinstance(part, Slot):
                visual = next(visuals)
                rows, columns = (side // self.cell for side in visual.groups[0].shape[1:3])
                count = len(visual.groups)
                shapes.append((count, rows, columns))
                rows_of_tokens.append(np.full(count * rows * columns, self.tokens[visual.kind], dtype=np.int64))
            else:
                shapes.append(len(part))
                rows_of_tokens.append(part)
        tokens = np.concatenate(rows_of_tokens)
        vision = np.isin(tokens, list(self.tokens.values()))
        return CalibrationPrompt(example.groups, tokens, prompt_positions(self.layout, shapes), vision)


def digest(prompts: list[CalibrationPrompt]) -> str:
    """SHA-256 over everything the model is shown: equal digests, equal calibration."""
    content = hashlib.sha256()
    for prompt in prompts:
        content.update(prompt.tokens.tobytes() + prompt.positions.tobytes())
        for group in prompt.groups:
            content.update(str(group.shape).encode() + group.tobytes())
    return content.hexdigest()
