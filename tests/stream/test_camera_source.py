from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from stream.errors import ConnectionFailed, NoVideo, SourceNotFound, SourceUnreadable, Stalled
from stream.sources.camera import CameraSource


def drawn(device: str, kind: str, options: dict[str, str]) -> Any:
    """FFmpeg's test picture stands in for a camera."""
    size, rate = options.get("video_size", "64x48"), options.get("framerate", "30")
    return av.open(f"testsrc=size={size}:rate={rate}:duration=0.5", format="lavfi")


def failing(error: Exception) -> Callable[[str, str, dict[str, str]], Any]:
    def open_device(device: str, kind: str, options: dict[str, str]) -> Any:
        raise error

    return open_device


def test_a_camera_gives_frames_by_their_arrival() -> None:
    source = CameraSource("0", open=drawn)
    frames = list(source)
    assert len(frames) == 15
    assert frames[0].pixels.shape == (48, 64, 3)
    assert {frame.clock for frame in frames} == {"arrival"}
    assert all(a.pts <= b.pts <= b.captured for a, b in pairwise(frames))
    assert source.live and source.name == "camera:0"


@pytest.mark.parametrize(
    ("platform", "device", "expected"),
    [
        ("linux", "2", ("/dev/video2", "v4l2")),
        ("linux", "/dev/v4l/by-id/usb-cam", ("/dev/v4l/by-id/usb-cam", "v4l2")),
        ("linux", "", ("/dev/video0", "v4l2")),
        ("darwin", "1", ("1:none", "avfoundation")),
        ("win32", "Integrated Camera", ("video=Integrated Camera", "dshow")),
    ],
)
def test_every_platform_has_its_own_names(platform: str, device: str, expected: tuple[str, str]) -> None:
    asked: list[tuple[str, str, dict[str, str]]] = []

    def open_device(*arguments: Any) -> Any:
        asked.append(arguments)
        return drawn(*arguments)

    source = CameraSource(device, size=(96, 128), fps=10, platform=platform, open=open_device)
    assert [frame.pixels.shape for frame in source] == [(96, 128, 3)] * 5
    assert asked == [(*expected, {"video_size": "128x96", "framerate": "10"})]


def test_a_missing_camera_says_which_are_there(tmp_path: Path) -> None:
    (tmp_path / "video1").touch()
    (tmp_path / "video2").touch()
    with pytest.raises(SourceNotFound, match=r"no .*video7.*video1, .*video2"):
        list(CameraSource("7", platform="linux", devices=tmp_path))


def test_a_machine_without_a_camera_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="No camera was found"):
        list(CameraSource("0", platform="linux", devices=tmp_path))


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), SourceUnreadable, "group `video`"),
        (OSError(errno.EBUSY, "Device or resource busy"), ConnectionFailed, "another program"),
        (OSError(errno.ENODEV, "No such device"), ConnectionFailed, "No such device"),
    ],
)
def test_failures_say_what_to_do(error: Exception, expected: type[Exception], words: str) -> None:
    with pytest.raises(expected, match=words):
        list(CameraSource("0", open=failing(error)))


def test_a_device_that_is_no_camera_says_so(media: Path) -> None:
    with pytest.raises(NoVideo):
        list(CameraSource("0", open=lambda *_: av.open(str(media / "sound.wav"))))


def test_a_driver_that_hangs_is_left_behind() -> None:
    released = threading.Event()

    def hang(*_: Any) -> Any:
        released.wait(60)
        raise OSError(errno.EIO, "unplugged")

    with pytest.raises(Stalled, match=r"0\.05 s"):
        list(CameraSource("0", open=hang, read_timeout=0.05))
    released.set()


def test_close_ends_even_a_hanging_read() -> None:
    opening, released = threading.Event(), threading.Event()

    def hang(*_: Any) -> Any:
        opening.set()
        released.wait(60)
        raise OSError(errno.EIO, "unplugged")

    source = CameraSource("0", open=hang, read_timeout=1000)
    reader = threading.Thread(target=lambda: list(source), daemon=True)
    reader.start()
    assert opening.wait(10)
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert list(source) == []
    released.set()
