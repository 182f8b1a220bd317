"""What cameras say: answers as they are given, those that were kept, and the pictures that were judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Header, HTTPException, Query
from fastapi.responses import JSONResponse, Response, StreamingResponse

from edge.daemon.hub import Missed
from edge.daemon.service import Service
from stream.event import Event

BOUNDARY = "frame"
NO_STORE = {"cache-control": "no-store"}


def event_routes(service: Service) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["events"])

    @routes.get("/streams/{name}/snapshot.jpg", response_class=Response)
    def snapshot(name: str) -> Response:
        """The newest judged frame, with its boxes and words; which answer that is stands in the headers."""
        found = service.judged(name).jpeg()
        if found is None:
            raise HTTPException(503, f"{name} has no answer yet. Ask again in a moment.", {"retry-after": "1"})
        picture, event = found
        said = {"x-event-id": event.id, "x-event-time": event.time}
        return Response(picture, media_type="image/jpeg", headers=said | NO_STORE)

    @routes.get("/streams/{name}/live.mjpg", response_class=StreamingResponse)
    async def live(name: str) -> StreamingResponse:
        """Each judged frame, as it comes."""
        pictures = service.judged(name).follow()
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return StreamingResponse(_parts(pictures), media_type=kind, headers=NO_STORE)

    @routes.get("/streams/{name}/events", response_class=StreamingResponse)
    async def events_of(
        name: str, after: str | None = Query(default=None), last_event_id: str | None = Header(default=None)
    ) -> StreamingResponse:
        """Server-sent events of one camera, from now on, or after the event of an id."""
        service.status(name)
        return _told(service, name, after or last_event_id)

    @routes.get("/events", response_class=StreamingResponse)
    async def events(
        after: str | None = Query(default=None), last_event_id: str | None = Header(default=None)
    ) -> StreamingResponse:
        """Server-sent events of all cameras."""
        return _told(service, None, after or last_event_id)

    @routes.get("/events/search")
    def search(
        text: str = Query(default="", max_length=1000),
        stream: str | None = None,
        task: str | None = None,
        start: float | None = Query(default=None, description="seconds since 1970, of the newest frame"),
        end: float | None = None,
        limit: int = Query(default=50, ge=1, le=1000),
    ) -> list[dict[str, Any]]:
        """The newest stored events with all words of the text."""
        if service.store is None:
            raise HTTPException(404, "no events are kept. Start the daemon with --store FILE.")
        return service.store.search(text, stream=stream, task=task, start=start, end=end, limit=limit)

    @routes.get("/streams/{name}/latest")
    def latest(name: str, task: str | None = None) -> Response:
        """The newest answer, or 204."""
        service.status(name)
        event = service.hub.newest(name, task)
        return Response(status_code=204) if event is None else JSONResponse(event.to_dict(), headers=NO_STORE)

    return routes


def _told(service: Service, name: str | None, after: str | None) -> StreamingResponse:
    """What the store remembers after that event comes first, and then what the hub does."""

    async def lines() -> AsyncIterator[str]:
        yield ": these are answers, as they are given\n\n"
        last = after
        while service.store is not None and last is not None:
            kept = await asyncio.to_thread(service.store.after, last, stream=name)
            for told in kept:
                yield _line(Event.from_dict(told))
            if not kept:
                break
            last = kept[-1]["id"]
        async for event in service.hub.listen(name, last):
            yield _line(event)

    return StreamingResponse(lines(), media_type="text/event-stream", headers=NO_STORE)


def _line(event: Event | Missed | None) -> str:
    if event is None:
        return ": nothing new\n\n"
    if isinstance(event, Missed):
        return f'event: missed\ndata: {{"count": {event.count}}}\n\n'
    return f"id: {event.id}\nevent: answer\ndata: {event.to_json()}\n\n"


async def _parts(pictures: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for picture in pictures:
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
        yield head.encode() + picture + b"\r\n"
