"""An H.264 clip as a camera would send it: pictures of NAL units, and when each is due.

Knows files and bitstreams. Knows no network.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

from stream.errors import NoVideo, SourceNotFound, SourceUnreadable
from stream.rtsp_server.rtp import H264_PAYLOAD, PPS, SPS, nal_type, split_annexb

FALLBACK_FPS = 25.0  # for the length of the last picture, where the file does not say its rate


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One access unit; times in seconds from the clip's first picture."""

    nals: tuple[bytes, ...]
    due: float  # when to send it; never goes back
    pts: float  # when to show it; with B-frames not in sending order


@dataclass(frozen=True, slots=True)
class Clip:
    pictures: tuple[AccessUnit, ...]
    seconds: float  # one round, the last picture's length included
    sps: bytes
    pps: bytes

    @classmethod
    def read(cls, path: str | Path) -> Clip:
        """Whole, into memory: clips for tests and demonstrations are small."""
        try:
            container = av.open(f"file:{path}")
        except FileNotFoundError:
            raise SourceNotFound(f"{path}: there is no such file.") from None
        except av.error.FFmpegError as error:
            raise SourceUnreadable(f"{path}: not a video that can be read ({error.strerror}).") from None
        with container:
            return cls._of(container, path)

    @classmethod
    def _of(cls, container: av.container.InputContainer, path: str | Path) -> Clip:
        if not container.streams.video:
            raise NoVideo(f"{path}: the clip holds no pictures.")
        stream = container.streams.video[0]
        codec = stream.codec_context.name
        if codec != "h264":
            raise SourceUnreadable(
                f"{path}: the pictures are {codec}, this server sends h264 only. "
                f"Convert the clip: ffmpeg -i {Path(str(path)).name} -c:v libx264 clip.mp4"
            )
        pictures = tuple(_pictures(container, stream))
        parameters = {nal_type(nal): nal for picture in pictures for nal in picture.nals}
        if SPS not in parameters or PPS not in parameters:
            raise SourceUnreadable(f"{path}: the h264 pictures come without their parameters (SPS, PPS).")
        length = 1 / float(stream.average_rate or FALLBACK_FPS)
        return cls(pictures, pictures[-1].due + length, parameters[SPS], parameters[PPS])

    def after(self, count: int) -> Clip:
        """As it is seen by who missed so many pictures: perhaps in the middle, with the next keyframe far off."""
        if not 0 <= count < len(self.pictures):
            raise ValueError(f"{count} pictures are missed, and the clip has {len(self.pictures)} in all.")
        rest = self.pictures[count:]
        late = rest[0].due
        moved = tuple(replace(picture, due=picture.due - late, pts=picture.pts - late) for picture in rest)
        return replace(self, pictures=moved, seconds=self.seconds - late)

    def sdp(self, host: str) -> str:
        """What DESCRIBE answers."""
        sprops = ",".join(base64.b64encode(nal).decode() for nal in (self.sps, self.pps))
        lines = [
            "v=0",
            f"o=- 0 0 IN IP4 {host}",
            "s=clip",
            f"c=IN IP4 {host}",
            "t=0 0",
            "a=control:*",
            "a=range:npt=0-",
            f"m=video 0 RTP/AVP {H264_PAYLOAD}",
            f"a=rtpmap:{H264_PAYLOAD} H264/90000",
            f"a=fmtp:{H264_PAYLOAD} packetization-mode=1;profile-level-id={self.sps[1:4].hex()};"
            f"sprop-parameter-sets={sprops}",
            "a=control:track0",
        ]
        return "".join(f"{line}\r\n" for line in lines)


def _pictures(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[AccessUnit]:
    # The filter turns lengths into start codes and puts SPS and PPS before every keyframe, so that a viewer
    # survives a switch to a clip of another size.
    to_annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
    first: tuple[float, float] | None = None
    due = 0.0
    for packet in container.demux(stream):
        for unit in to_annexb.filter(packet if packet.size else None):
            if unit.pts is None or stream.time_base is None:
                continue
            pts = float(unit.pts * stream.time_base)
            dts = pts if unit.dts is None else float(unit.dts * stream.time_base)
            first = first or (dts, pts)
            due = max(due, dts - first[0])
            yield AccessUnit(tuple(split_annexb(bytes(unit))), due, pts - first[1])
