"""Whether an H.264 picture follows the one before it, or one is missing between them.

A decoder fills such a hole by repeating the picture before it and tells nobody; what comes after refers to it.
The numbers of the pictures tell: frame_num of each is that of the reference picture before it, or one more
(ITU-T H.264, 7.4.3). Knows the first few fields of the bitstream. Knows no decoder.
"""

from __future__ import annotations

from collections.abc import Iterator

SLICES = (1, 5)  # types of NAL units: of a picture, and of one that refers to none before it
KEY_SLICE, SPS = 5, 7
HEAD_BYTES = 4096  # bytes at the beginning of a packet; parameters and remarks come before the picture
WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # profiles


class FrameNumbers:
    """Asked once for every packet, in decoding order. What it cannot read it takes for complete."""

    def __init__(self, extradata: bytes | None) -> None:
        extradata = extradata or b""
        is_mp4 = extradata[:1] == b"\x01"
        self._length_bytes = (extradata[4] & 3) + 1 if is_mp4 and len(extradata) > 4 else 0  # 0: start codes
        self._num_bits = 0  # of frame_num; 0 until the parameters have come
        self._before: int | None = None  # frame_num of the newest reference picture
        self._may_skip = False
        self._has_planes = False
        for nal in _mp4_parameters(extradata) if is_mp4 else _after_start_codes(extradata):
            self._learn(nal)

    def follows(self, packet: bytes) -> bool:
        """False: pictures that this one may refer to are missing."""
        for nal in _with_lengths(packet, self._length_bytes) if self._length_bytes else _after_start_codes(packet):
            if nal and nal[0] & 31 == SPS:
                self._learn(nal)
            elif nal and nal[0] & 31 in SLICES:
                return self._slice_follows(nal)
        return True

    def _learn(self, nal: bytes) -> None:
        if not nal or nal[0] & 31 != SPS:
            return
        try:
            self._num_bits, self._may_skip, self._has_planes = _parameters(_Bits(nal[1:]))
        except IndexError:  # cut off
            self._num_bits = 0

    def _slice_follows(self, nal: bytes) -> bool:
        if not self._num_bits:
            return True
        try:
            number = self._frame_num(_Bits(nal[1:64]))
        except IndexError:
            return True
        before, is_reference = self._before, bool(nal[0] >> 5 & 3)
        if is_reference:
            self._before = number
        if before is None or self._may_skip or nal[0] & 31 == KEY_SLICE:
            return True
        return number in (before, (before + 1) % (1 << self._num_bits))

    def _frame_num(self, bits: _Bits) -> int:
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            bits.golomb()
        if self._has_planes:
            bits.take(2)
        return bits.take(self._num_bits)


class _Bits:
    """Reads numbers from the beginning; IndexError beyond the end."""

    def __init__(self, nal: bytes) -> None:
        payload = nal.replace(b"\0\0\3", b"\0\0")  # the 3 only keeps start codes out of the data
        self._bits = "".join(f"{byte:08b}" for byte in payload)
        self._at = 0

    def take(self, count: int) -> int:
        self._at += count
        if self._at > len(self._bits):
            raise IndexError
        return int(self._bits[self._at - count : self._at] or "0", 2)

    def golomb(self) -> int:
        one = self._bits.find("1", self._at)
        if one < 0:
            raise IndexError
        zeros, self._at = one - self._at, one
        return self.take(zeros + 1) - 1

    def signed_golomb(self) -> int:
        number = self.golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)


def _parameters(bits: _Bits) -> tuple[int, bool, bool]:
    """(bits of frame_num, whether it may skip on purpose, whether colour planes are coded apart) of an SPS."""
    profile, has_planes = bits.take(8), False
    bits.take(16)
    bits.golomb()
    if profile in WITH_CHROMA:
        has_planes = _skip_chroma(bits)
    num_bits = bits.golomb() + 4
    _skip_order(bits)
    bits.golomb()
    return num_bits, bool(bits.take(1)), has_planes


def _skip_chroma(bits: _Bits) -> bool:
    chroma = bits.golomb()
    has_planes = chroma == 3 and bool(bits.take(1))
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling(bits, 16 if number < 6 else 64)
    return has_planes


def _skip_scaling(bits: _Bits, size: int) -> None:
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed_golomb()) % 256
        if scale == 0:
            return


def _skip_order(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()


def _after_start_codes(data: bytes) -> Iterator[bytes]:
    """NAL units of a stream as cameras and MPEG-TS send it."""
    start = data.find(b"\0\0\1")
    while start >= 0:
        end = data.find(b"\0\0\1", start + 3)
        yield data[start + 3 : end if end >= 0 else len(data)]
        start = end


def _with_lengths(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """NAL units as MP4 and Matroska keep them; the last one may be cut off."""
    at = 0
    while at + length_bytes < len(data):
        start = at + length_bytes
        at = start + int.from_bytes(data[at:start], "big")
        yield data[start:at]


def _mp4_parameters(extradata: bytes) -> Iterator[bytes]:
    at = 6
    for _ in range(extradata[5] & 31 if len(extradata) > 5 else 0):
        size = int.from_bytes(extradata[at : at + 2], "big")
        yield extradata[at + 2 : at + 2 + size]
        at += 2 + size
