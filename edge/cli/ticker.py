"""One line at the foot of the terminal: the answer that is being made, piece by piece."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from edge.cli.terminal import notes
from stream.printable import Pieces, printable
from stream.tasks.boxes import readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.tasks import Task


class Ticker:
    """Of one camera or of several, whose answers are made one after the other."""

    def __init__(self) -> None:
        self._status = notes.status("waiting for pictures")
        self._speaker, self._text, self._pieces = "", "", Pieces()

    def of(self, camera: str | None) -> Callable[[Task, str], None]:
        """What takes the pieces of this camera's answers; None: there is but one, and its name need not be told."""
        return partial(self.add, camera=camera)

    def add(self, task: Task, piece: str, camera: str | None = None) -> None:
        speaker = task.name if camera is None else f"{camera} {task.name}"
        if speaker != self._speaker:
            self._speaker, self._text, self._pieces = speaker, "", Pieces()
        self._text = (self._text + self._pieces.add(piece))[-200:]
        self._status.update(Text(f"{printable(speaker)}: {readable(self._text)[-60:]}"))

    def __enter__(self) -> None:
        self._status.start()

    def __exit__(self, *error: object) -> None:
        self._status.stop()
