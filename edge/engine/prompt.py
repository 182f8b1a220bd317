"""From messages to what the model reads: token ids, and slots where pictures and videos go.

The model's own chat template is rendered and cut at its special tokens; no marker is written here by hand.
Text next to a special token never merges with it, so the pieces are exactly the tokens of the whole.

Text in a message cannot leave its place: `<|im_end|>` written by a user is a few ordinary characters. Only
the markers of objects and boxes stay special, because questions and earlier answers speak of regions in them.
Knows no pixels and no cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.engine.tokenizer import Tokenizer
from edge.errors import BadMessage
from edge.media.visual import VisualKind
from edge.models.family import Positions, PromptLayout, Tokens

Messages = Sequence[Mapping[str, Any]]
"""Chat messages: `role`, and `content` as text or as a list of {"type": "text" | "image" | "video", ...}."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the next picture or video of the conversation."""

    kind: VisualKind


Part = Tokens | Slot


def lay_out(tokenizer: Tokenizer, layout: PromptLayout, messages: Messages) -> list[Part]:
    """The parts of a prompt that ends where the assistant is to speak."""
    guard, placeholders = _unused_character(tokenizer, messages), layout.placeholders
    parts: list[Part] = []
    ids: list[int] = []
    for piece in tokenizer.split(tokenizer.render(_guarded(tokenizer, layout, messages, guard))):
        if piece in placeholders:
            parts += [np.array(ids, dtype=np.int64), Slot(placeholders[piece])]
            ids = []
        elif piece in tokenizer.special:
            ids.append(tokenizer.special[piece])
        else:
            ids += tokenizer.encode_plain(piece.replace(guard, "")).tolist()
    return [part for part in [*parts, np.array(ids, dtype=np.int64)] if isinstance(part, Slot) or part.size]


def stream_prefix(tokenizer: Tokenizer, layout: PromptLayout, system: str | None = None) -> Tokens:
    """What stands before a stream's video, whatever the question."""
    return _around_video(tokenizer, layout, "", system)[0]


def stream_suffix(tokenizer: Tokenizer, layout: PromptLayout, question: str, system: str | None = None) -> Tokens:
    """What follows a stream's video: the question, and the assistant's turn to speak."""
    return _around_video(tokenizer, layout, question, system)[1]


def prompt_positions(layout: PromptLayout, parts: Iterable[int | tuple[int, int, int]]) -> Positions:
    """Of a whole prompt at once: a number is that many text tokens, a triple is a visual's (groups, rows, columns)."""
    start = 0
    pieces = [np.empty((3, 0), dtype=np.int64)]
    for part in parts:
        if isinstance(part, int):
            pieces.append(layout.text_positions(start, part))
            start += part
        else:
            num_groups, rows, columns = part
            pieces += [layout.group_positions(start, index, rows, columns) for index in range(num_groups)]
            start = layout.next_position(start, num_groups, rows, columns)
    return np.concatenate(pieces, axis=1)


def _around_video(
    tokenizer: Tokenizer, layout: PromptLayout, question: str, system: str | None
) -> tuple[Tokens, Tokens]:
    messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]})
    parts = lay_out(tokenizer, layout, messages)
    match parts:
        case [np.ndarray() as prefix, Slot(kind="video"), np.ndarray() as suffix]:
            return prefix, suffix
    raise BadMessage("the model's chat template does not put a video between texts. Is it this model's own?")


def _guarded(tokenizer: Tokenizer, layout: PromptLayout, messages: Messages, guard: str) -> list[dict[str, Any]]:
    """The messages with `guard` after every character of a text that could begin a special token.

    Every one, not only whole tokens: two neighbouring texts could otherwise form one together.
    """
    first = "".join(sorted({token[0] for token in tokenizer.special}))
    regions = "|".join(map(re.escape, layout.region_markers))
    risky = re.compile(f"(?!{regions})[{re.escape(first)}]")

    def guarded(text: str) -> str:
        return risky.sub(lambda match: match.group() + guard, text)

    return [{"role": message["role"], "content": _with_texts(message["content"], guarded)} for message in messages]


def _with_texts(content: Any, change: Any) -> Any:
    """Content as the template needs it and no more: texts changed, pictures reduced to their type."""
    if isinstance(content, str):
        return change(content)
    return [
        {"type": "text", "text": change(part["text"])} if part["type"] == "text" else {"type": part["type"]}
        for part in content
    ]


def _unused_character(tokenizer: Tokenizer, messages: Messages) -> str:
    """A character of Unicode's private area that neither the template nor any text uses."""
    used = {*tokenizer.template, *_texts(messages)}
    return next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in used)


def _texts(messages: Messages) -> str:
    contents = [message["content"] for message in messages]
    texts = [c if isinstance(c, str) else "".join(part.get("text", "") for part in c) for c in contents]
    return "".join(texts)
