"""Chat messages as people write them, checked, read and taken apart: texts and pictures.

Everything that a conversation names is fetched and decoded here, as its `Access` allows, so that the engine only
computes. Knows the message format of qwen-vl-utils, and of OpenAI's API with "video_url" beside "image_url".
Knows no tokens.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from edge.errors import AccessDenied, BadMessage
from edge.media.access import Access
from edge.media.limits import Limits
from edge.media.parameters import Part, given
from edge.media.pictures import load_image
from edge.media.videos import load_video
from edge.media.visual import Conversation, Visual
from stream.errors import StreamError

ROLES = ("system", "user", "assistant")
LOADERS: dict[str, Callable[[Part, Limits, Access], Visual]] = {
    "image": load_image,
    "image_url": load_image,
    "video": load_video,
    "video_url": load_video,
}
KINDS = (*LOADERS, "text")  # of a part that holds several, the first counts


def read(messages: Sequence[Mapping[str, Any]], limits: Limits, access: Access) -> Conversation:
    """Raises BadMessage, AccessDenied or a StreamError, naming the message and the part: messages[0].content[1]."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes) or not messages:
        raise BadMessage("a conversation is a list of at least one message {'role': ..., 'content': ...}.")
    reader = _Reader(limits, access)
    plain = tuple(reader.message(message, f"messages[{n}]") for n, message in enumerate(messages))
    return Conversation(plain, tuple(reader.visuals))


class _Reader:
    """Gathers the visuals of one conversation."""

    def __init__(self, limits: Limits, access: Access) -> None:
        self._limits, self._access = limits, access
        self._deadline = time.monotonic() + access.decode_seconds
        self._num_frames = 0
        self.visuals: list[Visual] = []

    def message(self, message: object, where: str) -> dict[str, Any]:
        if not isinstance(message, Mapping):
            raise BadMessage(f"{where} is a {type(message).__name__}, not {{'role': ..., 'content': ...}}.")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise BadMessage(f"{where} has the role {reprlib.repr(role)}; it must be one of {', '.join(ROLES)}.")
        if isinstance(content, str):
            return {"role": role, "content": content}
        if not isinstance(content, list | tuple):
            raise BadMessage(f"{where}.content is a {type(content).__name__}; it must be a text or a list of parts.")
        return {"role": role, "content": [self._part(part, f"{where}.content[{n}]") for n, part in enumerate(content)]}

    def _part(self, part: object, where: str) -> dict[str, str]:
        if not isinstance(part, Mapping):
            raise BadMessage(f"{where} is a {type(part).__name__}, not {{'type': ..., ...}}.")
        part = given(part)
        kind = _kind(part, where)
        if kind == "text":
            if not isinstance(part.get("text"), str):
                raise BadMessage(f"{where} is of type 'text' and has no 'text'.")
            return {"type": "text", "text": part["text"]}
        with _named(where):
            self._access.check_time(self._deadline)
            rest = replace(self._access, decode_seconds=self._deadline - time.monotonic())
            visual = LOADERS[kind](part, self._limits, rest)
            self._num_frames += 2 * len(visual.groups)
            self._access.check_frames(self._num_frames)
        self.visuals.append(visual)
        return {"type": visual.kind}


def _kind(part: Part, where: str) -> str:
    """What a part is, by what it holds rather than by its type, which may be left away."""
    kind = part.get("type")
    held = next((name for name in KINDS if name in part), None)
    if kind is None and held is not None:
        return held
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadMessage(f"{where} has the type {reprlib.repr(kind)}; it must be one of {', '.join(KINDS)}.")
    if held is None or (held == "text" and kind != "text"):
        raise BadMessage(f"{where} is of type {kind!r} and has no {kind!r}.")
    return held


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Says in which part of which message it went wrong."""
    try:
        yield
    except (BadMessage, AccessDenied, StreamError) as error:
        raise type(error)(f"{where}: {error}") from error
