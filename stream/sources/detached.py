"""Reading that may hang, in a thread of its own: whoever waits for it can give up.

A native read has been seen to outlive every timeout given to it, and a camera's driver takes none.
Knows items and threads. Knows no video.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class OutOfTime(Exception):
    """Nothing came within the time given."""


class Ended(Exception):
    """The last item was taken, or `close` was called."""


class Detached(Generic[T]):
    """Runs a generator in a daemon thread, one item ahead.

    After `close` the thread ends with the read it is in, and closes the generator itself. If that never
    returns, the thread is left behind: better one lost thread than a lost camera.
    """

    def __init__(self, read: Callable[[], Generator[T, None, None]], name: str) -> None:
        self._read = read
        self._changed = threading.Condition()
        self._items: list[T] = []
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def next(self, timeout: float) -> T:
        """The next item; the generator's own error; `Ended`; or `OutOfTime` after `timeout` seconds."""
        with self._changed:
            here = self._changed.wait_for(lambda: self._items or self._ended or self._closed, timeout)
            if self._closed:
                raise Ended
            if self._items:
                self._changed.notify_all()
                return self._items.pop()
            if not here:
                raise OutOfTime
            if self._error is not None:
                raise self._error
            raise Ended

    @property
    def closed(self) -> bool:
        """Nobody takes items any more."""
        return self._closed

    def close(self) -> None:
        """Returns at once. Idempotent."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """After `close`: waits until the generator is closed, too; False if it is not within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        error: BaseException | None = None
        items = self._read()
        try:
            for item in items:
                if not self._hand_over(item):
                    break
        except BaseException as caught:  # raised where the items are taken
            error = caught
        finally:
            items.close()
            with self._changed:
                self._ended, self._error = True, error
                self._changed.notify_all()

    def _hand_over(self, item: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._items or self._closed)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed
