"""`/api/chat` and `/api/tags` in the form of Ollama's API, which home automation speaks: pictures as base64.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from edge.daemon.openai_form import ANY_OBJECT
from edge.daemon.reading import read_while_wanted
from edge.daemon.service import Service
from edge.engine.generation import Reply
from edge.engine.sampling import Sampling
from edge.errors import BadMessage
from edge.media.access import UNTRUSTED, Access
from stream.event import rfc3339

OPTIONS = {"temperature", "top_p", "seed", "stop", "num_predict", "repeat_penalty"}
NEUTRAL = {"num_ctx", "num_gpu", "num_thread", "num_batch", "main_gpu", "use_mmap", "numa", "num_keep", "low_vram"}
MAGIC = {"/9j/": "jpeg", "iVBORw0KGgo": "png", "UklGR": "webp", "R0lGOD": "gif"}  # how base64 of a picture begins


class OllamaChat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = ""
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = True
    options: dict[str, Any] | None = None
    keep_alive: str | int | None = None  # the model is always there
    format: Literal["json", ""] | dict[str, Any] | None = None  # a schema, or any object
    tools: list[Any] = Field(default_factory=list, max_length=0)
    think: bool | None = Field(default=None, strict=True)

    def parts(self) -> list[dict[str, Any]]:
        """As `edge.media.messages` reads them."""
        return [_message(message) for message in self.messages]

    def schema_wanted(self) -> dict[str, Any] | None:
        return ANY_OBJECT if self.format == "json" else self.format or None

    def sampling(self) -> Sampling:
        """Raises BadMessage for an option that would be passed over."""
        options = self.options or {}
        if unknown := sorted(set(options) - OPTIONS - NEUTRAL):
            raise BadMessage(f"options.{unknown[0]} is not known here. Leave it away.")
        stop = options.get("stop") or ()
        most = int(options.get("num_predict", 256))
        return Sampling(
            temperature=float(options.get("temperature", 0.0)),
            top_p=float(options.get("top_p", 1.0)),
            repetition_penalty=float(options.get("repeat_penalty", 1.0)),
            seed=int(options.get("seed", 0)),
            max_tokens=most if most > 0 else 256,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
        )


def ollama_routes(service: Service, access: Access = UNTRUSTED) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["ollama"])

    @routes.get("/tags")
    def tags() -> dict[str, Any]:
        """The one model that this daemon has."""
        name = service.model.name
        details = {"family": "qwen2vl", "quantization_level": service.model.variant, "format": "safetensors"}
        return {"models": [{"name": name, "model": name, "modified_at": rfc3339(0), "size": 0, "details": details}]}

    @routes.get("/version")
    def version() -> dict[str, str]:
        return {"version": "0.12.0"}  # of the API that this is the form of

    @routes.post("/chat")
    async def chat(request: Request, asked: OllamaChat) -> Response:
        """Answers a conversation; as lines of JSON unless `stream` is false."""
        how: dict[str, Any] = {"sampling": asked.sampling(), "schema": asked.schema_wanted(), "access": access}
        started = time.monotonic_ns()
        reply = await asyncio.to_thread(service.model.chat, asked.parts(), **how)
        read = time.monotonic_ns() - started
        if asked.stream:
            return StreamingResponse(_lines(service, reply, started, read), media_type="application/x-ndjson")
        text = await read_while_wanted(request, reply)
        return JSONResponse(_line(service, text) | _end(reply, started, read))

    return routes


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    known = {"role", "content", "images"}
    if unknown := sorted(set(message) - known - {"tool_calls", "thinking"}):
        raise BadMessage(f"a message has {unknown[0]!r}; known are {', '.join(sorted(known))}.")
    pictures = [{"type": "image", "image": _data_url(each)} for each in message.get("images") or ()]
    text = {"type": "text", "text": message.get("content", "")}
    return {"role": message.get("role"), "content": [*pictures, text]}


def _data_url(encoded: object) -> str:
    kind = next((kind for begin, kind in MAGIC.items() if isinstance(encoded, str) and encoded.startswith(begin)), None)
    if kind is None:
        raise BadMessage("an image is no base64 of a JPEG, PNG, WebP or GIF.")
    return f"data:image/{kind};base64,{encoded}"


def _lines(service: Service, reply: Reply, started: int, read: int) -> Iterator[str]:
    """Tokens are made as they are read."""
    try:
        for piece in reply:
            yield json.dumps(_line(service, piece) | {"done": False}, ensure_ascii=False) + "\n"
        yield json.dumps(_line(service, "") | _end(reply, started, read), ensure_ascii=False) + "\n"
    finally:
        reply.close()


def _line(service: Service, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"model": service.model.name, "created_at": rfc3339(time.time()), "message": message}


def _end(reply: Reply, started: int, read: int) -> dict[str, Any]:
    used, total = reply.usage, time.monotonic_ns() - started
    return {
        "done": True, "done_reason": "stop" if reply.finish == "stop" else "length", "total_duration": total,
        "load_duration": 0, "prompt_eval_count": used.text_tokens + used.visual_tokens, "prompt_eval_duration": read,
        "eval_count": used.generated_tokens, "eval_duration": total - read,
    }  # fmt: skip
