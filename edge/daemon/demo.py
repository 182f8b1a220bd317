"""Cameras to try a daemon with: drawn scenes, played on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stream.clip import write_clip
from stream.rtsp_server import RtspServer
from stream.sources.scene import Scene

LABELS = ("purple circle", "red star", "red square")  # that are looked for where nothing else is asked
DESCRIBE = "Describe the video."
SEEDS = {"front": 3, "back": 4}  # of the scenes
SECONDS, FPS, HEIGHT, WIDTH = 20.0, 10, 480, 640


@contextmanager
def demo_cameras() -> Iterator[list[str]]:
    """Gives NAME=ADDRESS of each."""
    with TemporaryDirectory(prefix="edge-demo-") as folder, ExitStack() as servers:
        words = []
        for name, seed in SEEDS.items():
            clip, scene = Path(folder) / f"{name}.mp4", Scene(seed, WIDTH, HEIGHT, duration=SECONDS)
            write_clip(clip, (scene.render(n / FPS, HEIGHT, WIDTH) for n in range(round(SECONDS * FPS))), FPS)
            server = servers.enter_context(RtspServer(str(clip), user="demo", password="loopback"))
            words.append(f"{name}={server.url_with_login}")
        yield words
