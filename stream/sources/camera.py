"""A camera on this machine: V4L2 on Linux, AVFoundation on a Mac, DirectShow on Windows."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import av

from stream.errors import ConnectionFailed, SourceNotFound, SourceUnreadable, Stalled, StreamError
from stream.frame import Frame
from stream.sources.clocks import ArrivalClock
from stream.sources.decoding import AS_A_PLAYER, Decoding, decode_at_once, pictures, video_track
from stream.sources.detached import Detached, Ended, OutOfTime

FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}

Open = Callable[[str, str, dict[str, str]], av.container.InputContainer]
"""(device, format, options): av.open, or what a test puts in its place."""


def open_device(device: str, kind: str, options: dict[str, str]) -> av.container.InputContainer:
    return av.open(device, format=kind, options=options)


class CameraSource:
    """`0` or `/dev/video0`; one connection. pts are seconds of this machine's monotonic clock."""

    live = True
    can_be_lost = True  # unplugged and plugged in again

    def __init__(
        self,
        device: str,
        *,
        size: tuple[int, int] | None = None,  # (height, width); None: as the camera likes
        fps: float | None = None,
        decoding: Decoding = AS_A_PLAYER,
        read_timeout: float = 5.0,  # seconds; drivers know none, and an unplugged camera may just hang
        open: Open = open_device,
        platform: str = sys.platform,
        devices: Path = Path("/dev"),
    ) -> None:
        self._kind = FORMATS.get(platform, "v4l2")
        self._device = _device(device or "0", self._kind, devices)
        self.name = f"camera:{device or '0'}"
        self.codec = ""
        self.corrupt = 0  # pictures that came broken over the cable
        self._devices = devices
        self._open_device = open
        self._read_timeout = read_timeout
        self._decoding = decoding
        self._options = {}
        if size is not None:
            self._options["video_size"] = f"{size[1]}x{size[0]}"
        if fps is not None:
            self._options["framerate"] = f"{fps:g}"
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._reading: Detached[Frame | None] | None = None

    def __iter__(self) -> Iterator[Frame]:
        with self._lock:
            if self._closed.is_set():
                return
            reading = self._reading = Detached(self._read, self.name)
        try:
            while True:
                frame = reading.next(self._read_timeout)
                if frame is not None:
                    yield frame
        except OutOfTime:
            raise Stalled(f"{self.name}: no picture for {self._read_timeout:g} s.") from None
        except Ended:
            return
        finally:
            reading.close()

    def close(self) -> None:
        """Returns at once, even while the driver hangs."""
        self._closed.set()
        with self._lock:
            if self._reading is not None:
                self._reading.close()

    def _read(self) -> Generator[Frame | None, None, None]:
        try:
            with self._open_device(self._device, self._kind, dict(self._options)) as container:
                track = video_track(container, self.name)
                self.codec = track.codec_context.name
                decode_at_once(track)
                clock = ArrivalClock()
                for picture in pictures(container, track, self._count_corrupt, self._decoding):
                    now = time.monotonic()
                    if picture is None:
                        yield None
                    else:
                        yield picture.frame(clock.pts(picture.own, now), now, "arrival")
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error) from None

    def _count_corrupt(self) -> None:
        self.corrupt += 1

    def _failure(self, error: Exception) -> StreamError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, PermissionError):
            return SourceUnreadable(
                f"{self.name}: this user may not open {self._device}. "
                "Add the user to the group `video` and log in again."
            )
        if isinstance(error, FileNotFoundError):
            return SourceNotFound(f"{self.name}: there is no {self._device}. {self._found()}")
        if "busy" in reason.lower():
            return ConnectionFailed(f"{self.name}: another program uses {self._device}. Close it and try again.")
        return ConnectionFailed(f"{self.name}: {self._device} gives no pictures ({reason}).")

    def _found(self) -> str:
        found = sorted(str(path) for path in self._devices.glob("video*"))
        return f"Found: {', '.join(found)}." if found else "No camera was found on this machine."


def _device(device: str, kind: str, devices: Path) -> str:
    """What the platform calls it."""
    if kind == "avfoundation":
        return f"{device}:none"  # no microphone
    if kind == "dshow":
        return f"video={device}"
    return str(devices / f"video{device}") if device.isdecimal() else device
