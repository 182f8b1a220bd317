"""Pictures that a program has already, as a source: they are pushed, and never wait for anybody.

Knows arrays and the time. Decodes nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.errors import BadFrame, SourceClosed
from stream.frame import Frame, Pixels
from stream.sources.arrival import ArrivalClock

ROOM = 8  # pictures that wait for the reader's thread; it takes milliseconds for one, and 1080p is 6 MB
FUTURE = 0.1  # seconds; a picture from further ahead was timed by another clock


class PushSource:
    """A live source for frames in numpy, of a robot's camera or a simulator.

    `name` is what events call it. `own_clock` says that the times given to `push` count on a clock of your own, which
    may begin anywhere: the camera's, a simulator's, or `time.time()`.

    >>> camera = PushSource("gripper")
    >>> camera.push(np.zeros((480, 640, 3), np.uint8))
    >>> camera.close()
    >>> [frame.shape for frame in camera]
    [(480, 640, 3)]
    """

    live = True
    codec = ""

    def __init__(
        self, name: str = "push", *, own_clock: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"The name of a source is {name!r}: give a text, such as PushSource('gripper').")
        self.name = name
        self._own = ArrivalClock() if own_clock else None
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Frame] = deque()
        self._superseded = 0  # dropped since the newest frame was taken
        self._is_closed = False

    def push(self, array: NDArray[np.uint8], captured: float | None = None) -> None:
        """Gives one picture, from any thread, and never waits. The array is copied: it may be drawn into at once.

        `array` is uint8, (height, width, 3) in RGB order, or (height, width) in grey. OpenCV's pictures are BGR: push
        `picture[..., ::-1]`. Sizes may change on the way; the model goes on with the size it began with.

        `captured` is when the picture was taken, in seconds of `time.monotonic()`; ages count from there. None: now.
        On a clock of your own (`own_clock`) only the spacing counts, laid on this machine's clock by arrival, and ages
        count from the call. A picture older than the one before is dropped, and counted, as "out_of_order", or as
        "between_samples" within one slot of the grid.

        When pictures come faster than they are looked at, the oldest waiting one makes room and counts as "overrun".
        Raises BadFrame for an array that is no picture or a time that is none, SourceClosed after `close` and once the
        watching has ended.
        """
        picture = _picture(array)
        with self._changed:
            if self._is_closed:
                raise SourceClosed(f"{self.name} is closed: nothing can be pushed any more. Make another PushSource.")
            self._waiting.append(self._frame(picture, captured))
            if len(self._waiting) > ROOM:
                self._supersede()
            self._changed.notify()

    def close(self) -> None:
        """No more will be pushed. What was pushed before is still looked at. From any thread; idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def unread(self) -> int:
        """Pictures pushed that nobody has taken."""
        with self._changed:
            return len(self._waiting) + self._superseded

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:  # whoever read them has gone: from now on pushing is refused, not lost
            self.close()

    def _next(self) -> Frame | None:
        """Waits for it; None when all were taken and no more come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            frame = self._waiting.popleft()
            superseded, self._superseded = self._superseded, 0
        return replace(frame, superseded=superseded) if superseded else frame

    def _supersede(self) -> None:
        self._waiting.popleft()
        self._superseded += 1

    def _frame(self, picture: Pixels, captured: float | None) -> Frame:
        now = self._clock()
        if captured is None:
            return Frame(picture, now, now, "arrival")
        taken = _seconds(captured)
        if self._own is not None:
            return Frame(picture, self._own.pts(taken, now), now, "arrival")
        if taken > now + FUTURE:
            raise BadFrame(
                f"captured is {taken:.3f}, {taken - now:.3f} s ahead of time.monotonic(). Give times of that clock, or "
                "say PushSource(own_clock=True) for times of another one."
            )
        return Frame(picture, taken, min(taken, now), "arrival")


def _seconds(captured: object) -> float:
    try:
        seconds = float(captured)  # type: ignore[arg-type]  # numpy's numbers are welcome
    except (TypeError, ValueError):
        raise BadFrame(f"captured is {_kind(captured)}: it must be a number of seconds, or None.") from None
    if not math.isfinite(seconds):
        raise BadFrame(f"captured is {seconds}: it must be a finite number of seconds, or None.")
    return seconds


def _picture(array: object) -> Pixels:
    """A copy, (height, width, 3)."""
    if not isinstance(array, np.ndarray):
        raise BadFrame(f"a picture must be a numpy array, and this is {_kind(array)}. Push numpy.asarray(picture).")
    if array.dtype != np.uint8:
        raise BadFrame(
            f"a picture must be of uint8, 0 to 255, and this is {array.dtype}. "
            "Push (picture * 255).astype(numpy.uint8) where it goes from 0 to 1."
        )
    if array.ndim == 2:
        array = np.broadcast_to(array[..., None], (*array.shape, 3))
    if array.ndim != 3 or array.shape[2] != 3:
        raise BadFrame(
            f"a picture must be (height, width, 3) in RGB or (height, width) in grey, and this is {array.shape}. "
            f"{_advice(array.shape)}"
        )
    if 0 in array.shape:
        raise BadFrame(f"the picture is {array.shape[1]}x{array.shape[0]}: it has no pixels.")
    return np.array(array, order="C")  # its own memory, and dense


def _advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 4):
        return "Its channels come first: push picture.transpose(1, 2, 0)."
    return "Push picture[..., :3] to leave alpha away, and one picture at a time."


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
