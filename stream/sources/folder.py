"""A folder of pictures as a video: in the order people number them, one every half second by default."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from stream.errors import NoVideo, SourceNotFound, SourceUnreadable
from stream.frame import Frame
from stream.printable import printable
from stream.sources.picture import is_picture, read_picture

log = logging.getLogger(__name__)


class FolderSource:
    """Picture i has pts i / fps. Unreadable ones are skipped, and leave no hole in time."""

    live = False

    def __init__(self, path: str | Path, *, fps: float = 2.0) -> None:
        if not fps > 0:
            raise ValueError(f"fps {fps}: a folder needs a rate above 0.")
        self.name = printable(str(path))
        self.fps = fps
        self.codec = ""
        self.skipped = 0  # unreadable pictures in the latest iteration
        self._path = Path(path)
        self._closed = threading.Event()
        self._pictures()

    def __iter__(self) -> Iterator[Frame]:
        self.skipped = 0
        shown = 0
        for path in self._pictures():
            if self._closed.is_set():
                return
            try:
                pixels = read_picture(path)
            except SourceUnreadable as error:
                self.skipped += 1
                log.warning("skipped: %s", error)
                continue
            yield Frame(pixels, shown / self.fps, time.monotonic(), "file", duration=1 / self.fps)
            shown += 1
        if not shown:
            raise NoVideo(f"{self.name}: not one of its {self.skipped} pictures can be read.")

    def close(self) -> None:
        self._closed.set()

    def _pictures(self) -> list[Path]:
        if not self._path.is_dir():
            raise SourceNotFound(f"{self.name}: there is no such folder.")
        found = [path for path in self._path.iterdir() if is_picture(path) and path.is_file()]
        if not found:
            raise NoVideo(f"{self.name}: the folder holds no pictures.")
        return sorted(found, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """frame2 before frame10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
