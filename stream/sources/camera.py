"""A camera on this machine: V4L2 on Linux, AVFoundation on a Mac, DirectShow on Windows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from stream.errors import ConnectionFailed, SourceNotFound, SourceUnreadable, Stalled, StreamError
from stream.frame import Frame
from stream.sources.connection import Connection, Progress
from stream.sources.container import ContainerReader, Stamp, arrival_stamps
from stream.sources.decoding import AS_A_PLAYER, Decoding, decode_at_once

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
        self._devices = devices
        self._open_device = open
        self._read_timeout = read_timeout
        self._options = {}
        if size is not None:
            self._options["video_size"] = f"{size[1]}x{size[0]}"
        if fps is not None:
            self._options["framerate"] = f"{fps:g}"
        self._reader = ContainerReader(self.name, self._open, self._stamps, self._failure, self._heard, decoding)
        self._connection = Connection(
            self.name, self._reader.read, self._too_late, open_timeout=read_timeout, read_timeout=read_timeout
        )

    @property
    def codec(self) -> str:
        return self._reader.codec

    @property
    def corrupt(self) -> int:
        """Pictures that came broken over the cable."""
        return self._reader.corrupt

    @property
    def progress(self) -> Progress:
        return self._connection.progress

    def __iter__(self) -> Iterator[Frame]:
        return self._connection.frames()

    def close(self) -> None:
        """Returns at once, even while the driver hangs."""
        self._connection.close()

    def _open(self) -> av.container.InputContainer:
        return self._open_device(self._device, self._kind, dict(self._options))

    def _stamps(self, container: av.container.InputContainer, track: av.VideoStream) -> Stamp:
        decode_at_once(track)
        return arrival_stamps(container)

    def _heard(self) -> bool:
        return self._connection.heard()

    def _too_late(self, opening: bool) -> StreamError:
        return Stalled(f"{self.name}: no picture for {self._read_timeout:g} s.")

    def _failure(self, error: Exception, opening: bool) -> StreamError:
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
