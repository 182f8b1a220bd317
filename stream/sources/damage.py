"""Which pictures to believe: none from the first sign of damage until the next clean keyframe.

A decoder hides what is missing behind what it has, and gives a picture that looks whole: grey fields, smears,
things where they were a second ago. Every picture that refers to such a one is damaged as well.

Knows what a packet and a picture say of themselves, in decoding order. Knows no file and no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import av

from stream.sources.h264 import LOOKED_AT

PATIENCE = 30.0  # seconds without a new sign: a stream without keyframes refreshes its pictures bit by bit
ON_THE_WAY = 128  # packets at most; those whose picture never came are forgotten


class Follows(Protocol):
    def follows(self, packet: bytes) -> bool:
        """False: pictures are missing before this one."""
        ...


class NoNumbers:
    """A codec whose pictures are not numbered: only what the decoder reports is known."""

    def follows(self, packet: bytes) -> bool:
        return True


@dataclass(slots=True, eq=False)
class _Sent:
    """A packet whose picture has not come out yet."""

    is_key: bool
    damaged: bool


class Damage:
    """Told of every packet before it is decoded, and asked about every picture that comes out."""

    def __init__(self, numbers: Follows) -> None:
        self._numbers = numbers
        self._sent: dict[int, _Sent] = {}  # by pts, in decoding order
        self._is_damaged = False
        self._sign: float | None = None  # time of the newest sign
        self._now: float | None = None  # time of the newest packet
        self._healed: int | None = None  # pts of the keyframe that ended damage, while older pictures may follow it

    def send(self, packet: av.Packet[av.VideoStream]) -> None:
        self._now = None if packet.dts is None else float(packet.dts * packet.time_base)
        self._judge(packet, is_complete=self._numbers.follows(bytes(memoryview(packet)[:LOOKED_AT])))
        if packet.pts is not None:
            self._sent.pop(packet.pts, None)  # of a recording before this one in the same file
            self._sent[packet.pts] = _Sent(packet.is_keyframe, self._is_damaged or self._is_older(packet.pts))
        if len(self._sent) > ON_THE_WAY:
            del self._sent[next(iter(self._sent))]

    def fail(self) -> None:
        """The decoder could make nothing of one of the packets; with threads nobody knows which."""
        for each in self._sent.values():
            each.damaged = True
        self._begin()

    def is_damaged(self, picture: av.VideoFrame) -> bool:
        sent = None if picture.pts is None else self._sent.get(picture.pts)
        if picture.is_corrupt:
            self._spread(sent)
        if sent is not None and picture.pts is not None:
            del self._sent[picture.pts]
        return picture.is_corrupt or (self._is_damaged if sent is None else sent.damaged)

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
        return self._now is not None and self._sign is not None and self._now - self._sign > PATIENCE

    def _begin(self) -> None:
        self._is_damaged, self._sign = True, self._now

    def _spread(self, origin: _Sent | None) -> None:
        """From a damaged picture to all that were sent after it, until a keyframe."""
        sent = list(self._sent.values())
        begin = sent.index(origin) + 1 if origin is not None else 0
        for each in sent[begin:]:
            if each.is_key:
                return
            each.damaged = True
        self._begin()
