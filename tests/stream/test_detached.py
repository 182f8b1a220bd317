from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from stream.sources.detached import Detached, Ended, OutOfTime

LONG = 20.0  # seconds; only a failing test waits that long


def test_items_come_in_order_and_then_the_end() -> None:
    def read() -> Generator[int, None, None]:
        yield from range(3)

    reading = Detached(read, "reading")
    assert [reading.next(LONG) for _ in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(Ended):
            reading.next(LONG)


def test_an_error_comes_after_the_items_before_it() -> None:
    def read() -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError

    reading = Detached(read, "reading")
    assert reading.next(LONG) == 1
    with pytest.raises(ZeroDivisionError):
        reading.next(LONG)


def test_a_hanging_read_is_given_up() -> None:
    released, gone = threading.Event(), threading.Event()

    def read() -> Generator[int, None, None]:
        try:
            released.wait(LONG)
            yield 1
        finally:
            gone.set()

    reading = Detached(read, "reading")
    with pytest.raises(OutOfTime):
        reading.next(0.01)
    reading.close()
    with pytest.raises(Ended):
        reading.next(LONG)
    released.set()
    assert gone.wait(LONG)  # its thread ends, and closes what it held


def test_close_ends_a_wait_and_the_reading() -> None:
    gone = threading.Event()

    def read() -> Generator[int, None, None]:
        try:
            yield from range(1000)
        finally:
            gone.set()

    reading = Detached(read, "reading")
    assert reading.next(LONG) == 0
    reading.close()
    reading.close()
    assert gone.wait(LONG)


def test_the_reader_runs_one_item_ahead_only() -> None:
    made: list[int] = []

    def read() -> Generator[int, None, None]:
        for number in range(10):
            made.append(number)
            yield number

    reading = Detached(read, "reading")
    for expected in range(4):
        assert reading.next(LONG) == expected
    assert len(made) <= 6
    reading.close()


def test_who_joins_knows_that_all_is_closed() -> None:
    gone = threading.Event()

    def read() -> Generator[int, None, None]:
        try:
            yield from range(1000)
        finally:
            gone.set()

    reading = Detached(read, "reading")
    reading.next(LONG)
    reading.close()
    assert reading.join(LONG)
    assert gone.is_set()


def test_a_hanging_read_is_not_joined_for_ever() -> None:
    released = threading.Event()

    def read() -> Generator[int, None, None]:
        released.wait(LONG)
        yield 1

    reading = Detached(read, "reading")
    reading.close()
    assert not reading.join(0.01)
    released.set()
    assert reading.join(LONG)
