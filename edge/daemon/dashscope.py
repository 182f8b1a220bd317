"""Chat in the form of DashScope, where Qwen's makers serve it: for clients that were written for that.

https://help.aliyun.com/en/model-studio/qwen-api-via-dashscope
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from edge.daemon.openai_form import MOST_TOKENS, reason
from edge.daemon.reading import read_while_wanted
from edge.daemon.service import Service
from edge.engine.generation import Reply
from edge.engine.sampling import Sampling
from edge.media.access import UNTRUSTED, Access

PATH = "/api/v1/services/aigc/multimodal-generation/generation"


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")

    messages: list[dict[str, Any]] = Field(min_length=1)


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_tokens: int = Field(default=256, ge=1, le=MOST_TOKENS)
    temperature: float = Field(default=0.0, ge=0, lt=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0)
    seed: int = 0
    stop: str | list[str] = Field(default_factory=list)
    incremental_output: bool = False  # streamed: each piece alone, not all of the text so far
    result_format: Literal["message"] = "message"

    def sampling(self) -> Sampling:
        own = self.model_dump(exclude={"incremental_output", "result_format", "stop"})
        return Sampling(**own, stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop))


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = ""
    input: Input
    parameters: Parameters = Field(default_factory=Parameters)


def dashscope_routes(service: Service, access: Access = UNTRUSTED) -> APIRouter:
    routes = APIRouter(tags=["dashscope"])

    @routes.post(PATH)
    async def generate(request: Request, asked: Asked, x_dashscope_sse: str = Header(default="disable")) -> Response:
        """Answers a conversation; as server-sent events where the header `X-DashScope-SSE: enable` asks for them."""
        how: dict[str, Any] = {"sampling": asked.parameters.sampling(), "access": access}
        reply = await asyncio.to_thread(service.model.chat, asked.input.messages, **how)
        request_id = str(uuid.uuid4())
        if x_dashscope_sse == "enable":
            lines = _lines(reply, request_id, asked.parameters.incremental_output)
            return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})
        text = await read_while_wanted(request, reply)
        return JSONResponse(_answer(reply, text, request_id))

    return routes


def _lines(reply: Reply, request_id: str, is_incremental: bool) -> Iterator[str]:
    """Tokens are made as they are read."""
    number = 0
    try:
        for piece in reply:
            number += 1
            yield _line(number, _answer(reply, piece if is_incremental else reply.text, request_id))
        if not number:  # an answer without a word has its end, too
            yield _line(1, _answer(reply, "", request_id))
    finally:
        reply.close()


def _line(number: int, answer: dict[str, Any]) -> str:
    return f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{json.dumps(answer, ensure_ascii=False)}\n\n"


def _answer(reply: Reply, text: str, request_id: str) -> dict[str, Any]:
    used = reply.usage
    message = {"role": "assistant", "content": [{"text": text}]}
    finish = reason(reply.finish) if reply.finish else "null"  # the word, while there is more to come
    read = used.text_tokens + used.visual_tokens
    return {
        "output": {"choices": [{"finish_reason": finish, "message": message}]},
        "usage": {
            "input_tokens": read, "output_tokens": used.generated_tokens, "total_tokens": read + used.generated_tokens,
            "image_tokens": used.visual_tokens, "input_tokens_details": {
                "text_tokens": used.text_tokens, "image_tokens": used.visual_tokens,
            },
        },
        "request_id": request_id,
    }  # fmt: skip
