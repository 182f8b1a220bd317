"""Small clips, made once a run, and servers that show them."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from stream.frame import Pixels

FPS = 25


def _shade(index: int, size: tuple[int, int] = (120, 160)) -> Pixels:
    """Picture `index` of every clip: plain, and a little brighter than the one before."""
    return np.full((*size, 3), 20 + 8 * (index % 25), np.uint8)


def _write_video(
    path: Path,
    count: int = FPS,
    size: tuple[int, int] = (120, 160),
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    bframes: int = 0,
    container_options: dict[str, str] | None = None,
) -> Path:
    options = {"g": "5", "bf": str(bframes), "preset": "veryfast"} if codec == "libx264" else {}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=FPS, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(_shade(index, size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _film(
    path: Path,
    pictures: Sequence[Pixels],
    *,
    times: Sequence[int] | None = None,  # in frames; one after the other by default
    fps: int = FPS,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,  # width over height of a pixel
) -> Path:
    """Pictures of one size into a file."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"g": "25", "bf": "0", **(options or {})})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        for time, pixels in zip(times or range(len(pictures)), pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def shade() -> Callable[..., Pixels]:
    return _shade


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    return _write_video


@pytest.fixture(scope="session")
def film() -> Callable[..., Path]:
    return _film


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips."""
    folder = tmp_path_factory.mktemp("media")
    _write_video(folder / "clip.mp4", container_options={"movflags": "faststart"})
    _write_video(folder / "segment.ts")
    _write_video(folder / "large.mp4", size=(160, 240))
    _write_video(folder / "bframes.mp4", bframes=2)
    _write_video(folder / "mpeg4.mp4", codec="mpeg4")
    write_sound(folder / "sound.wav")
    (folder / "text.mp4").write_text("This is no video. " * 200)
    return folder


@pytest.fixture(scope="session")
def clip(media: Path) -> Path:
    """25 pictures of 160x120 in one second."""
    return media / "clip.mp4"


@pytest.fixture(scope="session")
def large_clip(media: Path) -> Path:
    """25 pictures of 240x160 in one second."""
    return media / "large.mp4"


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Mjpeg(BaseHTTPRequestHandler):
    """`/3` gives three pictures and ends; `/3+` gives three and then keeps silent until the server closes."""

    released = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.end_headers()
        count = self.path.strip("/")
        for index in range(int(count.rstrip("+"))):
            jpeg = cv2.imencode(".jpg", _shade(index))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
        if count.endswith("+"):
            self.released.wait(30)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Grumpy(BaseHTTPRequestHandler):
    """`/404` answers 404, and so on."""

    def do_GET(self) -> None:
        self.send_error(int(self.path.split("?")[0].strip("/")))

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a viewer that goes away in the middle is no news


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    """The address of an HTTP server with this handler."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        Mjpeg.released.set()
        server.shutdown()
        thread.join()
    Mjpeg.released.clear()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Handler -> address of a server that runs until the test is over."""
    with ExitStack() as servers:
        yield lambda handler: servers.enter_context(serving(handler))


@pytest.fixture
def web(media: Path) -> Iterator[str]:
    with serving(partial(QuietFiles, directory=str(media))) as address:
        yield address


@pytest.fixture
def mjpeg() -> Iterator[str]:
    with serving(Mjpeg) as address:
        yield address


@pytest.fixture
def grumpy() -> Iterator[str]:
    with serving(Grumpy) as address:
        yield address


@pytest.fixture
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file of this process grows beyond so many bytes, as if the disk were full."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def shows_nothing() -> Callable[..., None]:
    """Fails if "s3cr3t" is anywhere in the error, in those that a traceback would print with it, or in the texts."""

    def check(error: BaseException | None, *texts: str) -> None:
        assert not any("s3cr3t" in text for text in texts)
        while error is not None:
            assert "s3cr3t" not in str(error) and "s3cr3t" not in repr(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)

    return check
