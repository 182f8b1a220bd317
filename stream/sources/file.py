"""Videos, animations and single pictures on this machine. Nothing is lost: the file waits for its reader."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from stream.errors import NoVideo, SourceNotFound, SourceUnreadable, StreamError
from stream.frame import Frame, Pixels
from stream.printable import printable
from stream.sources.animation import is_animation, shown
from stream.sources.decoding import AS_A_PLAYER, Decoding, file_clock, pictures, video_track
from stream.sources.picture import MAX_PIXELS, decode, is_picture
from stream.sources.unfinished import UNFINISHED, begins_like_mp4

log = logging.getLogger(__name__)

# A local playlist may name addresses; a file must never make this machine talk to the network.
OPTIONS = {"protocol_whitelist": "file,crypto"}

# Containers that hold their pictures themselves. Playlists (hls, dash, concat ...) open whatever files they name.
SELF_CONTAINED = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,gif,apng,h264,hevc,av1,obu,"
    "ivf,m4v,mjpeg,mxf,nut,dv,rm,wtv,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe"
)

COMPLETE = 0.98  # of the promised frames; files may leave out a few at their ends on purpose


class FileSource:
    """`clip.mp4`, `moving.gif` or `photo.jpg`: pts count from the first picture. Can be iterated again.

    For files of people who are not trusted: `follow=False` refuses playlists, which name other files, and
    `max_pixels` what would take too much memory.
    """

    live = False

    def __init__(
        self,
        path: str | Path,
        *,
        decoding: Decoding = AS_A_PLAYER,
        follow: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._path = Path(path)
        self._decoding = decoding
        self._options = OPTIONS if follow else {**OPTIONS, "format_whitelist": SELF_CONTAINED}
        self._max_pixels = max_pixels
        self.name = printable(str(path))
        self.codec = ""
        self.corrupt = 0  # pieces of data that could not be decoded, in the latest iteration
        self.clock_restarts = 0  # how often the file's own time began again, in the latest iteration
        self._closed = threading.Event()
        self._frames = self._check()

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames():
            if self._closed.is_set():
                return
            yield frame

    def close(self) -> None:
        self._closed.set()

    def _check(self) -> Callable[[], Iterator[Frame]]:
        """How its frames are read. Says what is wrong now, not after a model has been loaded."""
        if self._path.is_dir():
            raise SourceUnreadable(f"{self.name}: this is a folder; pictures in it are read as `folder:{self.name}`.")
        if not self._path.exists():
            raise SourceNotFound(f"{self.name}: there is no such file.")
        if self._path.is_file() and self._path.stat().st_size == 0:
            raise SourceUnreadable(f"{self.name}: the file is empty.")
        if is_animation(self._path):
            next(shown(self._path, self._max_pixels))
            return self._animation
        if is_picture(self._path):
            self._picture()
            return self._one_picture
        with self._open() as container:
            self._track(container)
        return self._video

    def _open(self) -> av.container.InputContainer:
        try:
            # Without "file:" FFmpeg would take a name like "concat:a|b" for a protocol.
            return av.open(f"file:{self._path}", options=dict(self._options))
        except OSError as error:
            raise self._unreadable(error) from None
        except av.error.FFmpegError as error:
            raise self._unreadable(error) from None

    def _track(self, container: av.container.InputContainer) -> av.VideoStream:
        track = video_track(container, self.name)
        width, height = track.codec_context.width, track.codec_context.height
        if width * height > self._max_pixels:
            raise SourceUnreadable(f"{self.name}: {width}x{height} is more than {self._max_pixels:,} pixels.")
        track.codec_context.options = {"max_pixels": str(self._max_pixels)}  # a video may grow on the way
        return track

    def _one_picture(self) -> Iterator[Frame]:
        yield Frame(self._picture(), 0.0, time.monotonic(), "file")

    def _picture(self) -> Pixels:
        return decode(self._path, self.name, self._max_pixels)

    def _animation(self) -> Iterator[Frame]:
        for pts, pixels in shown(self._path, self._max_pixels):
            yield Frame(pixels, pts, time.monotonic(), "file")

    def _video(self) -> Iterator[Frame]:
        self.corrupt = self.clock_restarts = 0
        num_frames = expected = 0
        with self._open() as container:
            track = self._track(container)
            self.codec = track.codec_context.name
            track.thread_type = "AUTO"  # by frame too: nobody waits for the newest one
            clock = file_clock(container, track)
            expected = track.frames  # 0 where the file does not say
            try:
                for picture in pictures(container, track, self._count_corrupt, self._decoding):
                    if picture is not None:
                        num_frames += 1
                        pts = clock.pts(picture.own)
                        self.clock_restarts = clock.restarts
                        yield picture.frame(pts, time.monotonic(), "file")
            except av.error.FFmpegError as error:
                if not num_frames:
                    raise self._unreadable(error) from None
                log.warning("%s breaks off after %d frames: %s", self.name, num_frames, error.strerror)
        self._judge(num_frames, expected)

    def _judge(self, num_frames: int, expected: int) -> None:
        if not num_frames and not self._closed.is_set():
            raise NoVideo(f"{self.name}: not one picture in it could be decoded.")
        if num_frames < COMPLETE * expected:
            log.warning("%s ends after %d of %d frames: the file is cut off", self.name, num_frames, expected)
        if self.clock_restarts:
            log.warning("%s: its clock starts again (%d x); it is read as one video", self.name, self.clock_restarts)
        if self.corrupt:
            log.warning("%s: %d pieces of data could not be decoded", self.name, self.corrupt)

    def _count_corrupt(self) -> None:
        self.corrupt += 1

    def _unreadable(self, error: Exception) -> StreamError:
        if isinstance(error, av.error.InvalidDataError) and self._path.is_file():
            with self._path.open("rb") as file:
                if begins_like_mp4(file.read(12)):
                    return SourceUnreadable(f"{self.name}: {UNFINISHED}")
        reason = getattr(error, "strerror", None) or str(error)
        return SourceUnreadable(f"{self.name}: it cannot be read as a video or picture ({reason}).")
