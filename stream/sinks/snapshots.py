"""The judged picture of each yes and each box, as a JPEG: the newest frame that the answer speaks of, as it came.

    front_2026-11-26T21.15.03.250_ask.jpg     the camera, when the picture was taken, the task
    door.mp4_0.00.07.500_ground-dog.jpg       of a file: where in the video

Boxes are not drawn, so that the picture can be judged anew, or learnt from; the events hold them. Nothing is ever
deleted here. Knows names and a folder.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from PIL import Image

from stream.errors import SinkUnwritable
from stream.event import Event
from stream.frame import Pixels
from stream.naming import file_form
from stream.sinks.wording import EPOCH_TIMES

QUALITY = 90  # of 100: little is lost, and a picture in full HD takes about half a megabyte


class SnapshotsSink:
    def __init__(self, folder: str | Path) -> None:
        """Makes the folder. Raises SinkUnwritable."""
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / ".writable", b"")
            (self.folder / ".writable").unlink()
        except OSError as error:
            raise SinkUnwritable(
                f"{self.folder}: pictures cannot be written there ({error.strerror}). Choose another folder."
            ) from error

    def publish(self, event: Event, picture: Pixels) -> None:
        """Raises SinkUnwritable for a full disk, or a folder that is there no longer; leaves no half picture."""
        if event.answer != "yes" and not event.boxes:
            return
        path = self.folder / f"{file_form(event.stream)}_{_moment(event)}_{file_form(event.task)}.jpg"
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=QUALITY)
        try:
            _write(path, encoded.getvalue())
        except OSError as error:
            raise SinkUnwritable(
                f"{path}: the picture could not be written ({error.strerror}). Make room, or make the folder anew."
            ) from error

    def close(self) -> None:
        """Nothing is open between two pictures."""


def _moment(event: Event) -> str:
    """When the picture was taken, as a part of a file's name: by the wall for a camera, else where in the video."""
    if event.clock == "arrival":
        return _wall(datetime.fromisoformat(event.time).astimezone())
    if event.end >= EPOCH_TIMES:
        return _wall(datetime.fromtimestamp(event.end))
    minutes, milliseconds = divmod(round(event.end * 1000), 60_000)
    return f"{minutes // 60}.{minutes % 60:02d}.{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _wall(taken: datetime) -> str:
    return f"{taken:%Y-%m-%dT%H.%M.%S}.{taken.microsecond // 1000:03d}"


def _write(path: Path, content: bytes) -> None:
    """All of it under its name, or nothing."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
