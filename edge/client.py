"""A client of the daemon, for robots and kiosks: events as they come, questions, the newest answer and its age.

    from edge.client import Client
    with Client("http://127.0.0.1:8765") as daemon:
        print(daemon.ask("front", "Is the door open?", yes_or_no=True).p_yes)
        for event in daemon.events("front"):
            print(event.time, event.text)

Loads no torch and no model. What the daemon refuses is raised as `Refused`, with its words.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import EdgeError
from stream.event import Event

ADDRESS = "http://127.0.0.1:8765"
TIMEOUT = httpx.Timeout(10.0, read=60.0)  # seconds; an answer may take a while, and a silent stream tells so each 15
WAITS = (0.5, 1.0, 2.0, 5.0)  # seconds before a lost connection is tried again; the last one for ever


class Refused(EdgeError):
    """What the daemon says no to."""

    code = "EDGE_REFUSED"

    def __init__(self, status: int, said: str, code: str = "EDGE_REFUSED") -> None:
        super().__init__(said)
        self.status, self.code = status, code


class Client:
    """
    Args:
        address: of the daemon.
        token: what it was started with as EDGE_TOKEN or EDGE_READ_TOKEN.
    """

    def __init__(self, address: str = ADDRESS, token: str | None = None) -> None:
        self._http = httpx.Client(base_url=address, headers=_headers(token), timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def streams(self) -> list[dict[str, Any]]:
        """Every camera: `name`, `state`, `error`, `answer_age` in seconds, `counts`."""
        found: list[dict[str, Any]] = _json(self._http.get("/v1/streams"))
        return found

    def add(self, name: str, source: str, **options: Any) -> None:
        """Has a camera watched: `describe`, `ask=[...]`, `ground=[...]`, `fps`, `seconds`, `every`, `max_age`."""
        _json(self._http.post("/v1/streams", json={"name": name, "source": source, **options}))

    def remove(self, name: str) -> None:
        _json(self._http.delete(f"/v1/streams/{name}"))

    def pause(self, name: str) -> None:
        """The camera is told goodbye, and keeps its name."""
        _json(self._http.post(f"/v1/streams/{name}/pause"))

    def resume(self, name: str) -> None:
        _json(self._http.post(f"/v1/streams/{name}/resume"))

    def ask(self, name: str, question: str, *, yes_or_no: bool = False) -> Event:
        """About what the camera shows now."""
        return Event.from_dict(_json(self._http.post(f"/v1/streams/{name}/ask", json=_asked(question, yes_or_no))))

    def latest(self, name: str, task: str | None = None) -> Event | None:
        """The newest answer; `age_of` says how old it is."""
        found = _json(self._http.get(f"/v1/streams/{name}/latest", params={"task": task} if task else {}))
        return None if found is None else Event.from_dict(found)

    def push(self, name: str, picture: NDArray[np.uint8], *, quality: int = 90) -> None:
        """A frame, (height, width, 3) in RGB, of a stream that was added with the source "push:". It goes as a JPEG."""
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=quality)
        _json(self._http.post(f"/v1/streams/{name}/frames", content=encoded.getvalue()))

    def snapshot(self, name: str) -> bytes:
        """A JPEG of the newest frame that was judged, with its boxes."""
        response = self._http.get(f"/v1/streams/{name}/snapshot.jpg")
        _check(response)
        return response.content

    def events(self, name: str | None = None, *, after: str | None = None) -> Iterator[Event]:
        """Of one camera or all, as they come, for ever: a lost connection is made anew, and goes on where it was.

        `after` is the id of the last event known. Raises Refused for a camera that is none.
        """
        failures = 0
        while True:
            try:
                with self._http.stream("GET", _path(name), params=_after(after)) as response:
                    if response.is_error:
                        response.read()
                    _check(response)
                    for event in _events(response.iter_lines()):
                        failures, after = 0, event.id
                        yield event
            except httpx.TransportError:
                pass
            time.sleep(WAITS[min(failures, len(WAITS) - 1)])
            failures += 1


class AsyncClient:
    """The same for asyncio: what a daemon is asked most."""

    def __init__(self, address: str = ADDRESS, token: str | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=_headers(token), timeout=TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def ask(self, name: str, question: str, *, yes_or_no: bool = False) -> Event:
        return Event.from_dict(
            _json(await self._http.post(f"/v1/streams/{name}/ask", json=_asked(question, yes_or_no)))
        )

    async def latest(self, name: str, task: str | None = None) -> Event | None:
        found = _json(await self._http.get(f"/v1/streams/{name}/latest", params={"task": task} if task else {}))
        return None if found is None else Event.from_dict(found)

    async def events(self, name: str | None = None, *, after: str | None = None) -> AsyncIterator[Event]:
        """As `Client.events`, but for one connection: httpx.TransportError where it is lost."""
        async with self._http.stream("GET", _path(name), params=_after(after)) as response:
            if response.is_error:
                await response.aread()
            _check(response)
            reader = _Lines()
            async for line in response.aiter_lines():
                if (event := reader.take(line)) is not None:
                    yield event


def age_of(event: Event, now: Callable[[], float] = time.time) -> float:
    """Seconds since the newest frame that it speaks of, by this machine's clock."""
    return now() - datetime.fromisoformat(event.time).timestamp()


@dataclass(slots=True)
class _Lines:
    """Server-sent events, line by line."""

    kind: str = ""
    data: str = ""

    def take(self, line: str) -> Event | None:
        """The event that this line completes."""
        name, _, value = line.partition(":")
        if name == "event":
            self.kind = value.strip()
        elif name == "data":
            self.data += value.strip()
        elif not line:
            kind, data, self.kind, self.data = self.kind, self.data, "", ""
            return Event.from_dict(json.loads(data)) if kind == "answer" else None
        return None


def _events(lines: Iterable[str]) -> Iterator[Event]:
    reader = _Lines()
    for line in lines:
        if (event := reader.take(line)) is not None:
            yield event


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _asked(question: str, yes_or_no: bool) -> dict[str, Any]:
    return {"question": question, "yes_or_no": yes_or_no}


def _path(name: str | None) -> str:
    return "/v1/events" if name is None else f"/v1/streams/{name}/events"


def _after(event_id: str | None) -> dict[str, str]:
    return {"after": event_id} if event_id else {}


def _json(response: httpx.Response) -> Any:
    _check(response)
    return response.json() if response.content else None


def _check(response: httpx.Response) -> None:
    """Raises Refused."""
    if not response.is_error:
        return
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = {"message": f"the daemon answers {response.status_code}", "code": "EDGE_REFUSED"}
    raise Refused(response.status_code, error["message"], error["code"])
