from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.rtsp_server.rtp import (
    LARGEST_PAYLOAD,
    NTP_EPOCH,
    Packet,
    depacketize,
    interleaved,
    join_annexb,
    packetize,
    sender_report,
    split_annexb,
)

headers = st.builds(lambda importance, kind: importance << 5 | kind, st.integers(0, 3), st.integers(1, 23))
nals = st.builds(lambda header, body: bytes([header]) + body, headers, st.binary(max_size=5000))
# Inside a unit start codes are escaped, and its last byte is never zero.
escaped = nals.map(lambda nal: nal.replace(b"\x00\x00", b"\x00\x03") + b"\x80")


@given(st.lists(nals, max_size=5), st.integers(3, 1500))
def test_units_survive_the_way_through_packets(units: list[bytes], limit: int) -> None:
    payloads = [payload for nal in units for payload in packetize(nal, limit)]
    assert all(len(payload) <= limit for payload in payloads)
    assert depacketize(payloads) == units


@given(st.lists(escaped, max_size=5))
def test_units_survive_the_way_through_a_byte_stream(units: list[bytes]) -> None:
    assert split_annexb(join_annexb(units)) == units


def test_short_start_codes_and_padding_separate_units_too() -> None:
    assert split_annexb(b"\x00\x00\x00\x01\x67A\x00\x00\x01\x68B\x00\x00\x00\x00\x01\x65C") == [
        b"\x67A",
        b"\x68B",
        b"\x65C",
    ]
    assert split_annexb(b"") == []


@pytest.mark.parametrize("lost", [0, -1])
def test_a_unit_that_lost_its_beginning_or_its_end_is_left_out(lost: int) -> None:
    payloads = packetize(b"\x65" + bytes(3 * LARGEST_PAYLOAD))
    del payloads[lost]
    assert depacketize([*payloads, b"\x41next"]) == [b"\x41next"]


@given(
    st.builds(
        Packet,
        payload=st.binary(max_size=100),
        sequence=st.integers(0, 0xFFFF),
        timestamp=st.integers(0, 0xFFFFFFFF),
        ssrc=st.integers(0, 0xFFFFFFFF),
        marker=st.booleans(),
    )
)
def test_a_packet_survives_the_wire(packet: Packet) -> None:
    assert Packet.from_bytes(packet.to_bytes()) == packet


def test_sequence_and_timestamp_wrap_around() -> None:
    packet = Packet.from_bytes(Packet(b"", 0x10000, 0x100000001, 7, False).to_bytes())
    assert (packet.sequence, packet.timestamp) == (0, 1)


def test_an_interleaved_packet_says_its_channel_and_length() -> None:
    assert interleaved(2, b"abc") == b"$\x02\x00\x03abc"


def test_a_sender_report_ties_a_timestamp_to_the_time_of_day() -> None:
    report = sender_report(7, 1_000_000_000.5, 90_000, 3, 4000)
    _, kind, words, ssrc, seconds, fraction, *rest = struct.unpack("!BBHIIIIII", report)
    assert (kind, len(report), ssrc) == (200, (words + 1) * 4, 7)
    assert (seconds - NTP_EPOCH, fraction) == (1_000_000_000, 2**31)
    assert rest == [90_000, 3, 4000]


def test_nothing_cannot_be_packetized() -> None:
    with pytest.raises(ValueError, match="0 bytes"):
        packetize(b"")
