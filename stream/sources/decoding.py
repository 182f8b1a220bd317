"""From containers to pictures: which track, what to believe, and how it is shown.

Every packet is decoded, because the next picture refers to it. Conversion to upright RGB, which costs as much
again, waits until somebody looks. Knows PyAV. Knows no address, no network, no time grid and no thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import av
from av.stream import Disposition

from stream.errors import NoVideo, SourceUnreadable
from stream.frame import Clock, Frame, LazyPicture
from stream.sources.clocks import FileClock
from stream.sources.damage import Damage, NoNumbers
from stream.sources.h264 import FrameNumbers
from stream.sources.player import Player

MAY_JUMP = 0x0200  # FFmpeg's AVFMT_TS_DISCONT: times may go on anywhere, as in MPEG-TS
FALLBACK_FPS = 25.0  # where a file tells neither times nor a rate


@dataclass(frozen=True, slots=True)
class Decoding:
    """What is done with pictures on their way; the same for every source that decodes."""

    keep_damaged: bool = False  # believe pictures of which data was missing
    deinterlace: bool = True  # where the stream says that a picture is two halves


AS_A_PLAYER = Decoding()


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One picture, and what its container says of it."""

    picture: LazyPicture
    own: float | None  # seconds by the clock of whoever made it
    duration: float  # seconds it is shown; 0 where nobody says
    damaged: bool = False

    def frame(self, pts: float, captured: float, clock: Clock) -> Frame:
        return Frame(self.picture, pts, captured, clock, self.damaged, self.duration)


def video_track(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The track a player would show: the one marked so, else the first. The cover of a song is none."""
    tracks = _moving(container.streams.video)
    if not tracks:
        found = "no video, only a cover picture" if container.streams.video else "no pictures (audio only?)"
        raise NoVideo(f"{name}: it opens, but holds {found}.")
    marked = [track for track in tracks if track.disposition & Disposition.default]
    track = (marked or tracks)[0]
    if track.codec_context is None:
        raise SourceUnreadable(f"{name}: there is no decoder for its pictures.")
    return track


def _moving(tracks: tuple[av.VideoStream, ...]) -> list[av.VideoStream]:
    pictures = [track for track in tracks if not track.disposition & Disposition.attached_pic]
    # A cover that is not marked as one: a single picture beside a track of many, or of unknown length (0).
    return [track for track in pictures if track.frames != 1] or pictures


def decode_at_once(track: av.VideoStream) -> None:
    """For live pictures: threads by frame would hold back as many as there are cores."""
    # H.264 by slice does not say which pictures it patched up; and cameras send one slice a picture anyway.
    track.thread_type = "NONE" if track.codec_context.name == "h264" else "SLICE"


def file_clock(container: av.container.InputContainer, track: av.VideoStream) -> FileClock:
    jumps = bool(container.format.flags & MAY_JUMP)
    return FileClock(1 / float(track.average_rate or FALLBACK_FPS), jumps=jumps)


def pictures(
    container: av.container.InputContainer,
    track: av.VideoStream,
    on_corrupt: Callable[[], object],
    how: Decoding = AS_A_PLAYER,
) -> Iterator[Decoded | None]:
    """Decoded pictures. None stands for data that made no picture yet: a sign of life.

    What cannot be decoded is told to `on_corrupt` and passed over, decoders recover at the next keyframe.
    """
    context = track.codec_context
    damage: Damage[Decoded] = Damage(FrameNumbers(context.extradata) if context.name == "h264" else NoNumbers())
    player = Player(track, how.deinterlace)
    for packet in container.demux(track):
        damage.send(packet)
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            on_corrupt()
            damage.fail()
            decoded = []
        for picture in decoded:
            damage.come_out(picture, Decoded(player.show(picture), own_time(picture), _duration(picture)))
        settled = [_judged(made, how, is_damaged) for made, is_damaged in damage.settled()]
        yield from settled or (None,)
    yield from (_judged(made, how, is_damaged) for made, is_damaged in damage.settled(at_the_end=True))


def _judged(made: Decoded, how: Decoding, is_damaged: bool) -> Decoded:
    return replace(made, damaged=True) if is_damaged and not how.keep_damaged else made


def own_time(picture: av.VideoFrame) -> float | None:
    if picture.pts is None or picture.time_base is None:
        return None
    return float(picture.pts * picture.time_base)


def _duration(picture: av.VideoFrame) -> float:
    return float(max(0, picture.duration or 0) * (picture.time_base or 0))
