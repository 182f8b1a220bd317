"""`/v1/chat/completions` and `/v1/models`: conversations, and questions about a camera that is watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from edge.daemon.openai_form import Answer, ChatRequest, usage_of
from edge.daemon.reading import read_while_wanted
from edge.daemon.service import Service
from edge.engine.generation import Reply
from edge.media.access import UNTRUSTED, Access

NO_STORE = {"cache-control": "no-store"}


def chat_routes(service: Service, access: Access = UNTRUSTED) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["chat"])

    @routes.get("/models")
    def models() -> dict[str, Any]:
        """The one model that this daemon has."""
        return {"object": "list", "data": [{"id": service.model.name, "object": "model", "owned_by": "qwen2vl-edge"}]}

    @routes.post("/chat/completions")
    async def complete(request: Request, asked: ChatRequest) -> Response:
        """Answers a conversation with pictures and videos (as data URLs), or a question about `stream://NAME`."""
        asked.check()
        if (live := asked.live_question()) is not None:
            return await _live(service, *live, streamed=bool(asked.stream))
        how: dict[str, Any] = {"sampling": asked.sampling(), "schema": asked.schema_wanted(), "access": access}
        reply = await asyncio.to_thread(service.model.chat, asked.messages, **how)
        answer = Answer(service.model.name)
        if asked.stream:
            tells = asked.stream_options is not None and asked.stream_options.include_usage
            return StreamingResponse(_pieces(answer, reply, tells), media_type="text/event-stream", headers=NO_STORE)
        text = await read_while_wanted(request, reply)
        return JSONResponse(answer.whole(text, reply.finish, usage_of(reply)))

    return routes


async def _live(service: Service, name: str, question: str, *, streamed: bool) -> Response:
    event = await asyncio.wrap_future(service.ask(name, question))
    answer = Answer(service.model.name)
    if not streamed:
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return JSONResponse(answer.whole(event.text, event.finish, usage) | {"event": event.to_dict()})
    lines = [answer.piece({"role": "assistant", "content": event.text}), answer.piece({}, event.finish)]
    body = "".join(map(_line, lines)) + "data: [DONE]\n\n"
    return Response(body, media_type="text/event-stream", headers=NO_STORE)


def _pieces(answer: Answer, reply: Reply, tells_usage: bool) -> Iterator[str]:
    """Tokens are made as they are read: nobody reads, nothing is computed."""
    try:
        yield _line(answer.piece({"role": "assistant", "content": ""}))
        for piece in reply:
            yield _line(answer.piece({"content": piece}))
        yield _line(answer.piece({}, reply.finish))
        if tells_usage:
            yield _line(answer.cost(usage_of(reply)))
        yield "data: [DONE]\n\n"
    finally:
        reply.close()


def _line(part: dict[str, Any]) -> str:
    return f"data: {json.dumps(part, ensure_ascii=False)}\n\n"
