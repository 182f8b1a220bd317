"""Events on the terminal: a readable line each, or JSON lines for the next program in the pipe.

A model's text is data: nothing in it can colour, move or clear the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stream.event import Box, Event
from stream.frame import Pixels
from stream.printable import printable, printable_json
from stream.sinks import ReaderGone
from stream.sinks.json_text import encodable

EPOCH_TIMES = 1e8  # seconds; pts above this count from 1970 and are shown as the time of day


class PipeConsole(Console):
    """Says that nobody reads any more; a plain one would end the program, from within a sink's thread."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class StdoutSink:
    def __init__(self, json: bool = False, console: Console | None = None) -> None:
        self._json = json
        self._console = console or PipeConsole(highlight=False, soft_wrap=True)

    def publish(self, event: Event, picture: Pixels) -> None:
        with _reader_watched():
            if self._json:
                self._console.out(encodable(printable_json(event.to_json()), self._console.encoding), highlight=False)
            else:
                self._console.print(line(event))

    def close(self) -> None:
        with _reader_watched():
            self._console.file.flush()


@contextmanager
def _reader_watched() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone("nobody reads standard output any more.") from None


def line(event: Event) -> Text:
    """Time in the stream, task, age, what was said, where."""
    text = Text()
    text.append(f"{when(event):>9} ", "bold")
    text.append(f" {_plain(event.task)} ", "cyan")
    text.append(f" {event.age:.2f} s  ", "dim")
    text.append(_plain(said(event)))
    if event.finish != "stop" and event.answer is None:
        text.append(f" [{_plain(event.finish)}]", "yellow")
    if event.flags:
        text.append(f" [{_plain(', '.join(event.flags))}]", "yellow")
    for box in event.boxes:
        text.append(f"  {place(box)}", "green")
    return text


def said(event: Event) -> str:
    if event.answer is None:
        return event.text
    return event.answer if event.p_yes is None else f"{event.answer}, p(yes) {event.p_yes:.2f}"


def place(box: Box) -> str:
    """Label and corners in per cent of the picture."""
    corners = " ".join(f"{100 * value:.0f}%" for value in (box.x1, box.y1, box.x2, box.y2))
    return f"{_plain(box.label) or 'box'} [{corners}]"


def when(event: Event) -> str:
    """Of the window's newest frame: seconds into the stream, or the time of day where its clock counts from 1970."""
    return _time_of_day(event.end) if event.end >= EPOCH_TIMES else stream_time(event.end)


def stream_time(seconds: float) -> str:
    """
    >>> stream_time(83.25)
    '1:23.2'
    >>> stream_time(3723.0)
    '1:02:03.0'
    """
    tenths = int(max(seconds, 0.0) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{clock}:{rest // 10:02d}.{rest % 10}"


def _time_of_day(since_1970: float) -> str:
    return f"{datetime.fromtimestamp(since_1970):%H:%M:%S}"


def _plain(text: str) -> str:
    return " ".join(printable(text).splitlines()).replace("\t", " ")
