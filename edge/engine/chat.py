"""Chat messages as people write them, checked and taken apart: texts and pictures.

Knows the message format of qwen-vl-utils and of OpenAI's API. Knows no tokens.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge.errors import BadMessage
from edge.media.limits import Limits
from edge.media.visual import Visual, load_image, load_video
from stream.errors import StreamError

ROLES = ("system", "user", "assistant")
LOADERS = {"image": load_image, "image_url": load_image, "video": load_video}


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """What the template renders, and the pictures and videos in the order of their places in it."""

    messages: tuple[dict[str, Any], ...]
    visuals: tuple[Visual, ...]


def read(messages: Sequence[Mapping[str, Any]], limits: Limits) -> Conversation:
    """Raises BadMessage or a StreamError, naming the message and the part: messages[0].content[1]."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes) or not messages:
        raise BadMessage("a conversation is a list of at least one message {'role': ..., 'content': ...}.")
    visuals: list[Visual] = []
    plain = [_read_message(message, f"messages[{n}]", visuals, limits) for n, message in enumerate(messages)]
    return Conversation(tuple(plain), tuple(visuals))


def _read_message(message: object, where: str, visuals: list[Visual], limits: Limits) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise BadMessage(f"{where} is a {type(message).__name__}, not {{'role': ..., 'content': ...}}.")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise BadMessage(f"{where} has the role {reprlib.repr(role)}; it must be one of {', '.join(ROLES)}.")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list | tuple):
        raise BadMessage(f"{where}.content is a {type(content).__name__}; it must be a text or a list of parts.")
    return {
        "role": role,
        "content": [_read_part(part, f"{where}.content[{n}]", visuals, limits) for n, part in enumerate(content)],
    }


def _read_part(part: object, where: str, visuals: list[Visual], limits: Limits) -> dict[str, str]:
    if not isinstance(part, Mapping):
        raise BadMessage(f"{where} is a {type(part).__name__}, not {{'type': ..., ...}}.")
    kind = part.get("type")
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise BadMessage(f"{where} is of type 'text' and has no 'text'.")
        return {"type": "text", "text": part["text"]}
    if not isinstance(kind, str) or kind not in LOADERS:
        raise BadMessage(f"{where} has the type {reprlib.repr(kind)}; it must be one of text, {', '.join(LOADERS)}.")
    if kind not in part:
        raise BadMessage(f"{where} is of type {kind!r} and has no {kind!r}.")
    with _named(where):
        visual = LOADERS[kind](part, limits)
    visuals.append(visual)
    return {"type": visual.kind}


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Says in which part of which message it went wrong."""
    try:
        yield
    except (BadMessage, StreamError) as error:
        raise type(error)(f"{where}: {error}") from error
