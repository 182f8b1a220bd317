"""Chat in the form of OpenAI's API: what is asked, and how it is answered. Knows forms and no HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.engine.generation import Reply, Usage
from edge.engine.sampling import Sampling
from edge.errors import BadMessage

MOST_TOKENS = 2048
STREAM = "stream://"  # the address of a camera that is watched, in the place of a video's
ANY_OBJECT = {"type": "object"}
NEUTRAL = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
AS_IS: dict[str, tuple[Any, ...]] = {  # fields that change nothing with these values, which clients like to send
    "n": (1,), "frequency_penalty": (0, None), "presence_penalty": (0, None), "logprobs": (False, None),
    "tools": ([], None), "tool_choice": ("none", None),
    "logit_bias": ({}, None), "top_logprobs": (None,), "parallel_tool_calls": (True, False, None),
}  # fmt: skip


class StreamOptions(BaseModel):
    include_usage: bool = False


class NamedSchema(BaseModel):
    model_config = ConfigDict(extra="forbid")

    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    name: str = ""
    description: str | None = None
    strict: bool | None = None  # it is followed either way


class ResponseFormat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class ChatRequest(BaseModel):
    """https://platform.openai.com/docs/api-reference/chat/create"""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str = ""
    max_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    top_p: float | None = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None

    def check(self) -> None:
        """What would be passed over is refused by its name. Raises BadMessage."""
        for name, value in (self.model_extra or {}).items():
            if name in NEUTRAL or (name in AS_IS and value in AS_IS[name]):
                continue
            raise BadMessage(f"{name} is not known here. Leave it away: the answer would not be what it asks for.")

    def schema_wanted(self) -> dict[str, Any] | None:
        """Of the answer, where it shall be JSON. Raises BadMessage for a "json_schema" without its schema."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            return ANY_OBJECT
        if wanted.json_schema is None or wanted.json_schema.json_schema is None:
            raise BadMessage("response_format wants json_schema, and its schema is missing.")
        return wanted.json_schema.json_schema

    def sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed or 0,
            max_tokens=self.max_completion_tokens or self.max_tokens or 256,
            stop=tuple([self.stop] if isinstance(self.stop, str) else self.stop or ()),
        )

    def live_question(self) -> tuple[str, str] | None:
        """The camera and the question, where the one message shows a camera that is watched, and nothing else.

        Raises BadMessage for a camera beside other pictures, or in an earlier message, and for one asked for JSON.
        """
        addresses = [address for part in self._parts() if (address := _address(part)).startswith(STREAM)]
        if not addresses:
            return None
        if self.schema_wanted() is not None:
            raise BadMessage(f"a {STREAM} address answers in text. Leave response_format away.")
        parts = self._parts()
        texts = [str(part["text"]) for part in parts if isinstance(part.get("text"), str)]
        if len(self.messages) > 1 or len(parts) != len(texts) + 1 or not texts:
            raise BadMessage(f"a {STREAM} address goes with one question, in one message, and no other picture.")
        return addresses[0].removeprefix(STREAM).partition("?")[0], "\n".join(texts)

    def _parts(self) -> list[Mapping[str, Any]]:
        contents = [message.get("content") for message in self.messages]
        return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _address(part: Mapping[str, Any]) -> str:
    value = part.get("video_url", part.get("video", ""))
    if isinstance(value, Mapping):
        value = value.get("url", "")
    return value if isinstance(value, str) else ""


class Answer:
    """One answer, whole or in pieces: all of them carry the same name and time."""

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, text: str, finish: str, usage: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": reason(finish), "logprobs": None}
        return self._common | {"object": "chat.completion", "choices": [choice], "usage": usage}

    def piece(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish and reason(finish), "logprobs": None}
        return self._common | {"object": "chat.completion.chunk", "choices": [choice]}

    def cost(self, usage: dict[str, Any]) -> dict[str, Any]:
        return self._common | {"object": "chat.completion.chunk", "choices": [], "usage": usage}


def reason(finish: str) -> str:
    """Why it ended, in OpenAI's words: what was cut for repeating itself was cut."""
    return "stop" if finish == "stop" else "length"


def usage_of(reply: Reply) -> dict[str, Any]:
    return usage(reply.usage)


def usage(used: Usage) -> dict[str, Any]:
    prompt = used.text_tokens + used.visual_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": used.generated_tokens,
        "total_tokens": prompt + used.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": used.reused_tokens, "visual_tokens": used.visual_tokens},
    }
