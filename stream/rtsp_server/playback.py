"""Sends a clip as RTP, inside the RTSP connection or as UDP packets, round after round, on one growing clock.

Knows packets and time. Knows no requests.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from stream.rtsp_server.clip import Clip
from stream.rtsp_server.rtp import CLOCK_RATE, Packet, interleaved, packetize, sender_report

REPORT_EVERY = 1.0  # seconds between two sender reports


class Transport(Protocol):
    name: str  # "tcp" or "udp"
    description: str  # for the answer to SETUP

    def send(self, packet: bytes) -> None: ...

    def send_report(self, report: bytes) -> None: ...

    def close(self) -> None: ...


def choose_transport(wanted: str, write: Callable[[bytes], None], host: str) -> Transport | None:
    """What the header asks for; None if that is something else. `write` leads into the connection to `host`."""
    if "RTP/AVP/TCP" in wanted:
        return Interleaved(write, _ports(wanted, "interleaved", (0, 1)))
    if "client_port=" in wanted and "multicast" not in wanted:
        return Datagrams(host, _ports(wanted, "client_port", (0, 0)))
    return None


class Playback:
    """The clip, round after round, on one growing clock."""

    def __init__(
        self,
        transport: Transport,
        rounds: Iterable[Clip],  # the clip of every round
        closed: threading.Event,
        hold: Callable[[], float],  # waits while nothing may be sent; returns for how many seconds
        is_lost: Callable[[int], bool] = lambda number: False,  # whether the n-th packet gets lost on its way
    ) -> None:
        self._transport = transport
        self._rounds = rounds
        self._closed = closed
        self._hold = hold
        self._is_lost = is_lost
        self._ssrc = secrets.randbits(32)
        self._base = secrets.randbits(31)  # of the timestamps; RTP wants them to begin anywhere
        self._sequence = secrets.randbits(16)
        self._num_packets = self._num_bytes = 0
        self._reported = -REPORT_EVERY

    @property
    def begin(self) -> str:
        """For a viewer to know the first packet by."""
        return f"seq={self._sequence};rtptime={self._base}"

    def run(self) -> None:
        start = time.monotonic()
        begin = 0.0  # seconds from start to the first picture of this round
        for clip in self._rounds:
            for picture in clip.pictures:
                self._closed.wait(start + begin + picture.due - time.monotonic())
                begin += self._hold()
                if self._closed.is_set():
                    return
                self._report(begin + picture.due)
                self._send(picture.nals, begin + picture.pts)
            begin += clip.seconds

    def _send(self, nals: tuple[bytes, ...], seconds: float) -> None:
        payloads = [payload for nal in nals for payload in packetize(nal)]
        for number, payload in enumerate(payloads, start=1):
            last = number == len(payloads)
            packet = Packet(payload, self._sequence, self._timestamp(seconds), self._ssrc, marker=last)
            self._sequence += 1
            self._num_packets += 1
            if not self._is_lost(self._num_packets):
                self._transport.send(packet.to_bytes())
            self._num_bytes += len(payload)

    def _report(self, seconds: float) -> None:
        if seconds - self._reported >= REPORT_EVERY:
            self._reported = seconds
            numbers = (self._timestamp(seconds), self._num_packets, self._num_bytes)
            self._transport.send_report(sender_report(self._ssrc, time.time(), *numbers))

    def _timestamp(self, seconds: float) -> int:
        return self._base + round(seconds * CLOCK_RATE)


class Interleaved:
    """RTP inside the RTSP connection."""

    name = "tcp"

    def __init__(self, write: Callable[[bytes], None], channels: tuple[int, int]) -> None:
        self._write = write
        self._channels = channels
        self.description = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}"

    def send(self, packet: bytes) -> None:
        self._write(interleaved(self._channels[0], packet))

    def send_report(self, report: bytes) -> None:
        self._write(interleaved(self._channels[1], report))

    def close(self) -> None:
        pass  # the connection is the viewer's


class Datagrams:
    """RTP in UDP packets from two sockets of our own."""

    name = "udp"

    def __init__(self, host: str, ports: tuple[int, int]) -> None:
        self._targets = [(host, port) for port in ports]
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
        for own in self._sockets:
            own.bind(("", 0))
        rtp, rtcp = (own.getsockname()[1] for own in self._sockets)
        self.description = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]};server_port={rtp}-{rtcp}"

    def send(self, packet: bytes) -> None:
        self._sockets[0].sendto(packet, self._targets[0])

    def send_report(self, report: bytes) -> None:
        self._sockets[1].sendto(report, self._targets[1])

    def close(self) -> None:
        for own in self._sockets:
            own.close()


def _ports(transport: str, name: str, default: tuple[int, int]) -> tuple[int, int]:
    """ "...;client_port=5000-5001;..." -> (5000, 5001)"""
    for field in transport.split(";"):
        key, _, value = field.partition("=")
        if key.strip() == name:
            first, _, second = value.partition("-")
            return int(first), int(second or int(first) + 1)
    return default
