"""Text of others for a terminal: what models say, and how files and streams are called.

A terminal takes some characters for commands, which colour, move and clear, or set its title and its clipboard. They
are left out here, whole sequences at once; newlines and tabs stay. Knows ECMA-48's forms and no terminal.
"""

from __future__ import annotations

import re

# Introduced by ESC and a character, or by one character of C1 alone. Bounded: what goes on for longer is text.
_PARAMETERS = r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}"
_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]{0,512}"

_SEQUENCE = re.compile(rf"{_PARAMETERS}[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|\x1b[ -/]{{0,8}}[0-~]")
_BEGUN = re.compile(rf"(?:{_PARAMETERS}|{_STRING}\x1b?|\x1b[ -/]{{0,8}})\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_IN_JSON = re.compile(r"[\x7f-\x9f]")


def printable(text: str) -> str:
    """
    >>> printable("a \\x1b[31mred\\x1b[0m dog\\x1b]0;title\\x07")
    'a red dog'
    """
    return _CONTROL.sub(" ", _SEQUENCE.sub("", text))


def printable_json(line: str) -> str:
    """The same data: JSON escapes most of these characters anyway."""
    return _CONTROL_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", line)


class Pieces:
    """Text that comes piece by piece; a sequence may begin in one and end in another."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """What can be shown by now."""
        text = self._held + piece
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return printable(text[:end])

    def end(self) -> str:
        """What was held back, and has turned out to be the beginning of nothing."""
        held, self._held = self._held, ""
        return printable(held)
