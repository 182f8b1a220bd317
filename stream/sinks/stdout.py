"""Events on the terminal: a readable line each, or JSON lines for the next program in the pipe.

A model's text is data: nothing in it can colour, move or clear the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from stream.errors import ReaderGone
from stream.event import Event
from stream.frame import Pixels
from stream.sinks.json_text import encodable_line
from stream.sinks.wording import place, plain, said, span, when


class PipeConsole(Console):
    """Says that nobody reads any more; a plain one would end the program, from within a sink's thread."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class StdoutSink:
    def __init__(self, json: bool = False, console: Console | None = None, tells_stream: bool = False) -> None:
        """`tells_stream`: lines for people begin with the stream's name; JSON holds it anyway."""
        self._json = json
        self._tells_stream = tells_stream
        self._console = console or PipeConsole(highlight=False, soft_wrap=True)

    def publish(self, event: Event, picture: Pixels) -> None:
        with _reader_watched():
            if self._json:
                self._console.out(encodable_line(event.to_json(), self._console.encoding), highlight=False)
            else:
                self._console.print(line(event, self._tells_stream))

    def close(self) -> None:
        with _reader_watched():
            self._console.file.flush()


@contextmanager
def _reader_watched() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone("nobody reads standard output any more.") from None


def line(event: Event, tells_stream: bool = False) -> Text:
    """Which stream, time of day or in it, task, age, how far back the answer looks, what was said, where."""
    text = Text()
    if tells_stream:
        text.append(f"{plain(event.stream)} ", "magenta")
    text.append(f"{when(event):>9} ", "bold")
    text.append(f" {plain(event.task)} ", "cyan")
    text.append(f" {event.age:.2f} s old, {span(event)}  ", "dim")
    text.append(plain(said(event)))
    if event.finish != "stop" and event.answer is None:
        text.append(f" [{plain(event.finish)}]", "yellow")
    if event.flags:
        text.append(f" [{plain(', '.join(event.flags))}]", "yellow")
    for box in event.boxes:
        text.append(f"  {place(box)}", "green")
    return text
