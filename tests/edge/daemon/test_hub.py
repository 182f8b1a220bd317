"""Who listens hears everything, from where it left off; who is slow is told what it missed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from edge.daemon.hub import Hub, Missed
from stream.event import Event

PICTURE = np.zeros((2, 2, 3), np.uint8)


def event(number: int, stream: str = "front") -> Event:
    return Event(
        stream, "ask", number, (0, 0), 0.0, 0.5, "arrival", 0.1, f"answer {number}", "stop", id=f"{number:04d}"
    )


async def heard(hub: Hub, count: int, **options: str) -> list[Event | Missed | None]:
    found = []
    async with aclosing(hub.listen(**options)) as items:
        async for item in items:
            found.append(item)
            if len(found) == count:
                break
    return found


def test_a_listener_hears_what_comes_from_now_on() -> None:
    async def story() -> None:
        hub = Hub()
        hub.publish(event(1), PICTURE)
        listening = asyncio.create_task(heard(hub, 2))
        while not hub._wakers:
            await asyncio.sleep(0)
        await asyncio.to_thread(hub.publish, event(2), PICTURE)
        await asyncio.to_thread(hub.publish, event(3), PICTURE)
        assert [e.text for e in await listening if isinstance(e, Event)] == ["answer 2", "answer 3"]
        assert not hub._wakers

    asyncio.run(story())


def test_it_goes_on_after_the_event_it_knows_and_hears_its_own_camera_only() -> None:
    hub = Hub()
    for number in range(6):
        hub.publish(event(number, "front" if number % 2 else "back"), PICTURE)
    found = asyncio.run(heard(hub, 2, stream="front", after="0001"))
    assert [e.id for e in found if isinstance(e, Event)] == ["0003", "0005"]


def test_one_that_is_too_slow_is_told_how_many_it_missed() -> None:
    async def story() -> list[Event | Missed | None]:
        hub = Hub(room=2)
        hub.publish(event(0), PICTURE)
        listening = hub.listen(after="")
        first = await anext(listening)
        for number in range(1, 6):
            hub.publish(event(number), PICTURE)
        return [first, *[await anext(listening) for _ in range(3)]]

    found = asyncio.run(story())
    assert found[1] == Missed(3)
    assert [e.id for e in found if isinstance(e, Event)] == ["0000", "0004", "0005"]


def test_the_end_is_the_end_of_every_listener_after_what_is_left() -> None:
    hub = Hub()
    hub.publish(event(0), PICTURE)
    hub.end()
    assert [e.id for e in asyncio.run(heard(hub, 9, after="")) if isinstance(e, Event)] == ["0000"]


def test_silence_is_told_so_that_dead_listeners_are_found() -> None:
    async def story() -> object:
        return await anext(Hub().listen(quiet=0.001))

    assert asyncio.run(story()) is None


def test_the_newest_is_of_a_stream_and_a_task() -> None:
    hub = Hub()
    for each in (event(0), event(1, "back"), replace(event(2), task="describe")):
        hub.publish(each, PICTURE)
    newest = hub.newest("front")
    assert newest is not None and newest.id == "0002"
    asked = hub.newest("front", "ask")
    assert asked is not None and asked.id == "0000"
    assert hub.newest("nowhere") is None
