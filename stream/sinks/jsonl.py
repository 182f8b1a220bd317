"""Events as lines of JSON, appended to a file: one line per event, on the disk's side before the next.

Keeps what is already in the file. UTF-8; names that are not get escapes (json_text.py).
"""

from __future__ import annotations

from pathlib import Path

from stream.errors import SinkUnwritable
from stream.event import Event
from stream.frame import Pixels
from stream.sinks.json_text import encodable


class JsonlSink:
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise SinkUnwritable(
                f"{self.path}: events cannot be written there ({error.strerror}). Choose another file."
            ) from error

    def publish(self, event: Event, picture: Pixels) -> None:
        self._file.write(encodable(event.to_json()) + "\n")
        self._file.flush()  # whoever follows the file reads whole lines at once

    def close(self) -> None:
        self._file.close()
