"""A daemon on loopback with pocket, for all tests of this folder: a drawn camera that never ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

import edge
from edge.daemon.app import create_app
from edge.daemon.guard import Rules
from edge.daemon.service import Service
from edge.daemon.store import EventStore
from edge.daemon.wanted import wanted

CAMERA = "synthetic://?seed=3&live=1"


@pytest.fixture(scope="module")
def model() -> edge.Model:
    return edge.load("pocket", device="cpu")


@pytest.fixture(scope="module")
def service(model: edge.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    store = EventStore(tmp_path_factory.mktemp("store") / "events.sqlite")
    service = Service(model, store=store, retries=(0.05,))
    service.add("front", wanted(CAMERA, ask=["Is there a red star?"], ground=["purple circle"]))
    yield service
    service.close()
    store.close()


class Daemon:
    """A real server in a thread of its own."""

    def __init__(self, service: Service, rules: Rules | None = None) -> None:
        self.service = service
        self._server = uvicorn.Server(uvicorn.Config(create_app(service, rules), port=0, log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._started = threading.Event()
        before = self._server.startup

        async def startup(sockets: object = None) -> None:
            await before(None)
            self._started.set()

        self._server.startup = startup  # type: ignore[method-assign,assignment]
        self._thread.start()
        assert self._started.wait(20)
        self.address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)


@pytest.fixture(scope="module")
def daemon(service: Service) -> Iterator[Daemon]:
    daemon = Daemon(service)
    yield daemon
    daemon.close()


@pytest.fixture
def http(daemon: Daemon) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=daemon.address, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")
def answered(service: Service) -> Service:
    """Once the camera has been spoken of."""
    heard = threading.Event()

    service.hub._wakers.add(heard.set)
    while service.hub.newest("front", "ask") is None:
        assert heard.wait(30)
        heard.clear()
    service.hub._wakers.discard(heard.set)
    return service
