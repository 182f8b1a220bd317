"""How the console script begins and ends: streams that take every name, and an exit code for each way of failing.

What a user can do something about is one line without a traceback; only a defect of ours shows one. Ctrl-C is never a
defect: libraries that it interrupts may turn it into an error of their own, so the signal is remembered.
"""

from __future__ import annotations

import errno
import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge.cli.terminal import INTERRUPTED, OUT_OF_MEMORY, UsageError, complain, discard_output, exit_code, write_out
from edge.errors import EdgeError, OutputUnwritable, is_out_of_memory
from quantize.errors import QuantizeError
from stream.errors import StreamError

EXPECTED = (StreamError, EdgeError, QuantizeError, UsageError)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Interrupt:
    """Whether Ctrl-C was pressed."""

    seen = False

    def caused(self, error: BaseException) -> bool:
        return self.seen or any(isinstance(each, KeyboardInterrupt) for each in _chain(error))

    def handle(self, number: int, frame: object) -> None:
        self.seen = True
        raise KeyboardInterrupt


@contextmanager
def interrupts_noticed() -> Iterator[Interrupt]:
    """Commands may handle the signal on their own meanwhile: what they take is not seen here."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # ignored in a shell's background job, and then it stays so
        signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def ended_in_one_line() -> Iterator[None]:
    """Raises SystemExit for what is no defect of ours."""
    with interrupts_noticed() as interrupt:
        try:
            try:
                yield
            finally:
                write_out()  # a full disk shows here at the latest
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except Exception as error:
            if interrupt.caused(error):
                sys.exit(INTERRUPTED)
            _end(error)


def _end(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        discard_output()
        error = OutputUnwritable(f"{error.strerror}. What was asked for is not complete; write it somewhere else.")
    if isinstance(error, EXPECTED):
        complain(error)
        sys.exit(exit_code(error))
    if is_out_of_memory(error):
        complain(error)
        sys.exit(OUT_OF_MEMORY)
    raise error


def escape_what_cannot_be_shown() -> None:
    """On streams that lack a character, and for names that are no text: `\\u043a` and not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
