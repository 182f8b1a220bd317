"""`/v1/streams`: the cameras: added, listed, changed, paused, asked, removed. What they say is events.py's."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from edge.daemon.service import Service
from edge.daemon.wanted import Wanted, wanted
from stream.tasks import Task
from stream.tasks.ask import Ask

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Asked(BaseModel):
    """What `edge watch` takes, by the same names."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=2000, description="rtsp://..., http(s)://..., push:")
    describe: str | None = Field(default=None, max_length=4000)
    ask: list[str] = Field(default_factory=list, max_length=16)
    ground: list[str] = Field(default_factory=list, max_length=16)
    fps: float = Field(default=2.0, gt=0, le=30)
    seconds: float | None = Field(default=None, gt=0, le=600)
    every: float = Field(default=0.0, ge=0)
    max_age: float | None = Field(default=None, gt=0, description="seconds; an older answer is marked as stale")


class NewStream(Asked):
    name: str = Field(pattern=NAME)


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=4000)
    yes_or_no: bool = False


def _wanted(asked: Asked) -> Wanted:
    return wanted(asked.source, **asked.model_dump(exclude={"name", "source"}), is_trusted=False)


def stream_routes(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["streams"])

    @routes.get("/streams")
    def listed() -> list[dict[str, Any]]:
        return [service.status(name) for name in service.names()]

    @routes.post("/streams", status_code=201)
    def add(new: NewStream) -> dict[str, Any]:
        """Watches a camera from now on. Files of this machine cannot be named here."""
        service.add(new.name, _wanted(new))
        return service.status(new.name)

    @routes.get("/streams/{name}")
    def status(name: str) -> dict[str, Any]:
        return service.status(name)

    @routes.put("/streams/{name}")
    def change(name: str, asked: Asked) -> dict[str, Any]:
        """Watches it anew, in this way: what is left away is as if it had never been said."""
        service.change(name, _wanted(asked))
        return service.status(name)

    @routes.post("/streams/{name}/pause")
    def pause(name: str) -> dict[str, Any]:
        """The camera is told goodbye, and keeps its name."""
        service.pause(name)
        return service.status(name)

    @routes.post("/streams/{name}/resume")
    def resume(name: str) -> dict[str, Any]:
        service.resume(name)
        return service.status(name)

    @routes.delete("/streams/{name}", status_code=204)
    def remove(name: str) -> None:
        service.remove(name)

    @routes.post("/streams/{name}/ask")
    async def ask(name: str, asked: Question) -> dict[str, Any]:
        """About what the camera shows now. The video is in the model's memory already: only the question is read."""
        question: str | Task = Ask(asked.question) if asked.yes_or_no else asked.question
        event = await asyncio.wrap_future(service.ask(name, question))
        return event.to_dict()

    @routes.post("/streams/{name}/frames", status_code=202)
    async def push(name: str, request: Request) -> None:
        """The body is a JPEG, PNG or WebP: the newest frame of a stream whose source is `push:`."""
        await asyncio.to_thread(service.push, name, await request.body())

    return routes
