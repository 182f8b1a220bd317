"""H.264 in RTP packets (RFC 3550, RFC 6184): NAL units out of a byte stream, into payloads and back.

Pure functions on bytes. Knows no socket, no clock and no file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

H264_PAYLOAD = 96  # the first dynamic payload type, as every camera uses it
CLOCK_RATE = 90_000  # ticks a second, fixed by RFC 6184
LARGEST_PAYLOAD = 1400  # bytes; with all headers below the 1500 of Ethernet
NTP_EPOCH = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970

IDR, SPS, PPS = 5, 7, 8  # NAL types
FU_A = 28


def nal_type(nal: bytes) -> int:
    return nal[0] & 0x1F


def split_annexb(stream: bytes) -> list[bytes]:
    """The NAL units between the start codes 00 00 01. A unit never ends in zeros, those are padding."""
    units = re.split(rb"\x00\x00\x01", stream)[1:]
    return [unit for unit in (unit.rstrip(b"\x00") for unit in units) if unit]


def join_annexb(nals: Iterable[bytes]) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + nal for nal in nals)


def packetize(nal: bytes, limit: int = LARGEST_PAYLOAD) -> list[bytes]:
    """One payload where the unit fits into `limit` bytes, fragments (FU-A) where it does not."""
    if not nal or limit < 3:
        raise ValueError(f"A NAL unit of {len(nal)} bytes and payloads of {limit}: at least 1 and 3 are needed.")
    if len(nal) <= limit:
        return [nal]
    indicator, kind = (nal[0] & 0xE0) | FU_A, nal_type(nal)
    body, room = nal[1:], limit - 2
    starts = range(0, len(body), room)
    return [
        bytes([indicator, kind | (0x80 if at == 0 else 0) | (0x40 if at == starts[-1] else 0)]) + body[at : at + room]
        for at in starts
    ]


def depacketize(payloads: Iterable[bytes]) -> list[bytes]:
    """The units again. Of a unit that lost its beginning or its end nothing remains."""
    units: list[bytes] = []
    parts: list[bytes] | None = None
    for payload in payloads:
        if nal_type(payload) != FU_A:
            parts = None
            units.append(payload)
            continue
        begins, ends = payload[1] & 0x80, payload[1] & 0x40
        if begins:
            parts = [bytes([(payload[0] & 0xE0) | (payload[1] & 0x1F)])]
        if parts is not None:
            parts.append(payload[2:])
            if ends:
                units.append(b"".join(parts))
                parts = None
    return units


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet. Sequence and timestamp wrap around, as on the wire."""

    payload: bytes
    sequence: int  # 16 bits
    timestamp: int  # 32 bits, in ticks of CLOCK_RATE
    ssrc: int  # 32 bits, names the sender
    marker: bool  # the last packet of its picture

    def to_bytes(self) -> bytes:
        kind = H264_PAYLOAD | (0x80 if self.marker else 0)
        numbers = (self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc)
        return struct.pack("!BBHII", 0x80, kind, *numbers) + self.payload

    @classmethod
    def from_bytes(cls, packet: bytes) -> Packet:
        _, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
        return cls(packet[12:], sequence, timestamp, ssrc, bool(kind & 0x80))


def interleaved(channel: int, packet: bytes) -> bytes:
    """A packet as it travels inside the RTSP connection."""
    return struct.pack("!cBH", b"$", channel, len(packet)) + packet


def sender_report(ssrc: int, unix_seconds: float, timestamp: int, num_packets: int, num_bytes: int) -> bytes:
    """RTCP: which time of day a timestamp stands for, and what was sent so far."""
    seconds = unix_seconds + NTP_EPOCH
    fraction = int((seconds % 1) * 2**32)
    numbers = (int(seconds), fraction, timestamp, num_packets, num_bytes)
    return struct.pack("!BBHI5I", 0x80, 200, 6, ssrc, *(number & 0xFFFFFFFF for number in numbers))
