"""Which pictures to believe: none from the first sign of damage until the next clean keyframe.

A decoder hides what is missing behind what it has, and gives a picture that looks whole: grey fields, smears,
things where they were a second ago. Every picture decoded after such a one may refer to it, also those that are
shown before it; so a picture is let go only when all that was sent before it has come out. Without B-frames
that is at once, with them a picture or two later.

Knows what a packet and a picture say of themselves. Knows no file, no network and no pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import av

from stream.sources.h264 import HEAD_BYTES

BELIEVED_AGAIN = 30.0  # seconds without a new sign: a stream without keyframes refreshes its pictures bit by bit
DEPTH = 16  # pictures that may be shown before one that was sent before them: the most H.264 allows
ON_THE_WAY = 4 * DEPTH  # packets at most between sending and coming out, threads included

T = TypeVar("T")


class Numbers(Protocol):
    def follows(self, packet: bytes) -> bool:
        """False: pictures are missing before this one."""
        ...


class NoNumbers:
    """Of a codec whose pictures are not numbered: only what the decoder reports is known."""

    def follows(self, packet: bytes) -> bool:
        return True


@dataclass(slots=True, eq=False)
class _Sent:
    """One packet on its way to being a picture."""

    number: int  # in decoding order
    is_key: bool
    damaged: bool


class Damage(Generic[T]):
    """Told of every packet before it is decoded and of every picture that comes out; gives them back judged.

    T is whatever the caller makes of a picture.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._count = 0  # packets so far
        self._sent: dict[int, _Sent] = {}  # by pts, in decoding order; what has not come out
        self._waiting: deque[tuple[_Sent, T]] = deque()  # what has, but refers to what has not
        self._is_damaged = False
        self._sign: float | None = None  # time of the newest sign
        self._now: float | None = None  # time of the newest packet
        self._healed: int | None = None  # pts of the keyframe that ended damage, while older pictures may follow it

    def send(self, packet: av.Packet[av.VideoStream]) -> None:
        self._count += 1
        self._now = None if packet.dts is None else float(packet.dts * packet.time_base)
        self._judge(packet, is_complete=self._numbers.follows(bytes(memoryview(packet)[:HEAD_BYTES])))
        if packet.pts is not None:
            damaged = self._is_damaged or self._is_older(packet.pts)
            self._sent.pop(packet.pts, None)  # of a recording before this one in the same file
            self._sent[packet.pts] = _Sent(self._count, packet.is_keyframe, damaged)

    def fail(self) -> None:
        """The decoder could make nothing of one of the packets; with threads nobody knows which."""
        for each in self._underway():
            each.damaged = True
        self._begin()

    def come_out(self, picture: av.VideoFrame, made: T) -> None:
        sent = None if picture.pts is None else self._sent.pop(picture.pts, None)
        sent = sent or _Sent(self._count, False, self._is_damaged)
        self._forget(sent, picture.pts)
        if picture.is_corrupt:
            sent.damaged = True
            self._spread(sent)
        self._waiting.append((sent, made))

    def settled(self, *, at_the_end: bool = False) -> Iterator[tuple[T, bool]]:
        """What is sure, in the order it is shown: and whether it is damaged."""
        while self._waiting and (at_the_end or len(self._waiting) > DEPTH or self._is_sure(self._waiting[0][0])):
            sent, made = self._waiting.popleft()
            yield made, sent.damaged

    def _judge(self, packet: av.Packet[av.VideoStream], is_complete: bool) -> None:
        if packet.is_corrupt or not (is_complete or packet.is_keyframe):
            self._begin()
        elif packet.is_keyframe and self._is_damaged:
            self._is_damaged, self._healed = False, packet.pts
        elif self._is_damaged and self._has_waited_enough():
            self._is_damaged = False

    def _is_older(self, pts: int) -> bool:
        """Sent after a keyframe but shown before it: such pictures may refer to damaged ones behind it."""
        if self._healed is not None and pts > self._healed:
            self._healed = None
        return self._healed is not None and pts < self._healed

    def _has_waited_enough(self) -> bool:
        return self._now is not None and self._sign is not None and self._now - self._sign > BELIEVED_AGAIN

    def _begin(self) -> None:
        self._is_damaged, self._sign = True, self._now

    def _spread(self, origin: _Sent) -> None:
        """From a damaged picture to all that were sent after it, until a keyframe."""
        for each in sorted(self._underway(), key=lambda sent: sent.number):
            if each.number > origin.number:
                if each.is_key:
                    return
                each.damaged = True
        self._begin()

    def _underway(self) -> list[_Sent]:
        return [*self._sent.values(), *(sent for sent, _ in self._waiting)]

    def _is_sure(self, sent: _Sent) -> bool:
        return all(other.number > sent.number for other in self._sent.values())

    def _forget(self, newest: _Sent, pts: int | None) -> None:
        """What was sent and should have been shown before the newest picture will never come out."""
        for at, sent in list(self._sent.items()):
            is_due = sent.number < newest.number and pts is not None and at < pts
            if is_due or sent.number < self._count - ON_THE_WAY:
                del self._sent[at]
