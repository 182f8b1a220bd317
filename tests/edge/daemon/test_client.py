"""The client of robots and kiosks against a real daemon."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading

import httpx
import pytest

from edge.client import AsyncClient, Client, Refused, age_of
from edge.daemon.guard import Rules
from edge.daemon.service import Service
from stream.event import Event
from stream.sources.scene import Scene
from tests.edge.daemon.conftest import Daemon


def test_it_asks_listens_and_looks(daemon: Daemon, answered: Service) -> None:
    with Client(daemon.address) as client:
        assert [stream["name"] for stream in client.streams()] == ["front"]
        assert client.ask("front", "Is there a red star?", yes_or_no=True).answer in ("yes", "no")
        events = client.events("front")
        first, second = next(events), next(events)
        assert first.id < second.id and first.stream == "front"
        assert next(client.events("front", after=first.id)).id == second.id
        latest = client.latest("front")
        assert latest is not None and 0 <= age_of(latest) < 60
        assert client.snapshot("front").startswith(b"\xff\xd8")


def test_what_is_refused_is_raised_with_the_daemons_words(daemon: Daemon) -> None:
    with Client(daemon.address) as client:
        with pytest.raises(Refused, match="nobody") as refused:
            client.ask("nobody", "Who?")
        assert (refused.value.status, refused.value.code) == (404, "EDGE_NO_SUCH_STREAM")
        with pytest.raises(Refused):
            next(client.events("nobody"))
        with pytest.raises(Refused):
            client.add("file", "/etc/passwd")


def test_a_token_opens_a_locked_daemon(service: Service) -> None:
    locked = Daemon(service, Rules(token="secret"))
    try:
        with Client(locked.address) as stranger, pytest.raises(Refused, match="token"):
            stranger.streams()
        with Client(locked.address, token="secret") as client:
            assert client.streams()
    finally:
        locked.close()


def test_events_go_on_after_a_connection_was_lost(
    service: Service, answered: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.client.WAITS", (0.0,))
    first = Daemon(service)
    with Client(first.address) as client:
        events = client.events("front")
        before = next(events)
        first.close()
        monkeypatch.setattr(client._http, "base_url", (second := Daemon(service)).address)
        after = next(event for event in events if event.id > before.id)
        second.close()
    assert after.id > before.id


def test_asyncio_has_the_same_words(daemon: Daemon, answered: Service) -> None:
    async def story() -> None:
        async with AsyncClient(daemon.address) as client:
            said = await client.ask("front", "Is there a red star?", yes_or_no=True)
            assert said.answer in ("yes", "no")
            latest = await client.latest("front", "ask")
            assert latest is not None and latest.task == "ask"
            async for event in client.events("front"):
                assert event.stream == "front"
                break
            with pytest.raises(Refused):
                await client.ask("nobody", "Who?")

    asyncio.run(story())


def test_a_robot_pushes_its_own_frames(daemon: Daemon) -> None:
    scene = Scene(3, 224, 224, duration=20.0)
    with Client(daemon.address) as client:
        client.add("gripper", "push:", ground=["purple circle"], fps=10)
        try:
            events = client.events("gripper")
            said = threading.Thread(target=lambda: heard.append(next(events)), daemon=True)
            heard: list[Event] = []
            said.start()
            for number in itertools.count():
                client.push("gripper", scene.render(number / 10, 224, 224))
                said.join(0.1)
                if not said.is_alive():
                    break
            assert heard[0].stream == "gripper"
            for none in (b"none", b"", b"\xff\xd8\xff\xe0broken"):
                refused = httpx.post(f"{daemon.address}/v1/streams/gripper/frames", content=none)
                assert refused.status_code == 400 and "no picture" in refused.json()["error"]["message"]
        finally:
            client.remove("gripper")
        with pytest.raises(Refused, match="front opens its camera itself"):
            client.push("front", scene.render(0, 224, 224))


def test_importing_it_loads_no_torch() -> None:
    code = "import edge.client, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
