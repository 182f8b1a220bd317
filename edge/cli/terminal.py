"""How commands speak: answers for programs on standard output, everything for people beside it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from edge import threads
from edge.errors import (
    EdgeError,
    EventsLost,
    ModelError,
    NotTaught,
    OptionRefused,
    OutputRefused,
    OutputUnwritable,
    UnknownDtype,
)
from quantize.errors import QuantizeError
from stream.errors import SinkUnwritable, StreamError
from stream.printable import printable
from stream.sinks.json_text import encodable_line

if TYPE_CHECKING:
    from edge.engine.engine import Engine

notes = Console(stderr=True, highlight=False)  # for people; stdout is for answers

USAGE, SOURCE_FAILED, MODEL_FAILED, QUESTION_FAILED, DEMO_FAILED, OUT_OF_MEMORY, VARIANT_FAILED = 2, 3, 4, 5, 6, 7, 8
OUTPUT_FAILED, INTERRUPTED = 9, 130
EXIT_CODES = (  # the first that fits
    (OptionRefused, USAGE),
    (OutputRefused, USAGE),
    (UnknownDtype, USAGE),
    (NotTaught, USAGE),
    (OutputUnwritable, OUTPUT_FAILED),
    (SinkUnwritable, OUTPUT_FAILED),
    (ModelError, MODEL_FAILED),
    (EventsLost, OUTPUT_FAILED),
    (StreamError, SOURCE_FAILED),
    (EdgeError, QUESTION_FAILED),
    (QuantizeError, VARIANT_FAILED),
)


class UsageError(Exception):
    """An option's value means nothing."""


def complain(error: Exception) -> None:
    notes.print(printable(f"{type(error).__name__}: {error}"), style="red", markup=False, soft_wrap=True)


def exit_code(error: Exception) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), USAGE)


@contextmanager
def options_checked() -> Iterator[None]:
    """What the parts refuse about an option's value is wrong usage."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def load(model: str, device: str, dtype: str, runner: str, num_threads: int | None) -> Engine:
    if num_threads is not None:
        threads.use(num_threads)
    from edge.loading import load_engine  # torch is imported when a model is wanted, not for --help

    with notes.status(f"loading {model}"):
        return load_engine(model, device=device, dtype=dtype, runner=runner)


@contextmanager
def bar() -> Iterator[Callable[[int, int, str], None]]:
    """Progress with the time left: call it with (done, of how many, what begins now)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield update


def write_out(line: str = "") -> None:
    """A line of answers, if any, and what else is still to be written.

    Whoever reads them may have had enough, as `head` does: then they go nowhere, which is no error. Raises EventsLost.
    """
    try:
        print(line, end="\n" if line else "", flush=True)
    except OSError as error:
        discard_output()
        if not isinstance(error, BrokenPipeError):
            raise EventsLost(f"standard output cannot be written to ({error.strerror}).") from None


def discard_output() -> None:
    """From here on answers go nowhere: what is still buffered would fail once more when Python ends."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def print_json(value: object) -> None:
    """A line for programs, whatever standard output is encoded in."""
    write_out(encodable_line(json.dumps(value, ensure_ascii=False), sys.stdout.encoding or "utf-8"))


def tell(facts: dict[str, Any], as_json: bool, title: str) -> None:
    """One object: a JSON line for programs, a table for people."""
    if as_json:
        print_json(facts)
        return
    table = Table(title=Text(printable(title)), show_header=False, title_justify="left", title_style="bold")
    for name, value in facts.items():
        if value is not None and value != {}:
            table.add_row(name.replace("_", " "), plain(value))
    notes.print(table)


def plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {plain(item)}" for key, item in value.items())
    return escape(printable(str(value)))
