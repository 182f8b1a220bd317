"""How long work tells how far it is. Whoever asks for the work passes such a function; the command line's is a bar."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], object]
"""(steps finished, steps in all, the name of the step that begins now; empty at the end)."""


def silent(done: int, total: int, name: str) -> None:
    """For callers that nobody watches."""
