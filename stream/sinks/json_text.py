r"""JSON for an output of a given encoding: what the encoding cannot hold becomes a \u escape, which any reader undoes.

Names of files need not be UTF-8: Python reads their odd bytes as lone surrogates (PEP 383), which no encoding can hold.
Written as \udcfc, say, they come back from `json.loads` as they were, and `os.fsencode` gives the file's name again.
Outside of strings JSON is ASCII, so escaping every such character of a text is safe.
"""

from __future__ import annotations

import json

from stream.printable import printable_json


def encodable(text: str, encoding: str = "utf-8") -> str:
    r"""The same JSON, without a character that `encoding` lacks.

    >>> encodable('{"stream": "k\udcfcche.mp4"}')
    '{"stream": "k\\udcfcche.mp4"}'
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(char if _has(encoding, char) else json.dumps(char)[1:-1] for char in text)
    return text


def encodable_line(text: str, encoding: str) -> str:
    """The same JSON for a terminal or a pipe: it cannot move or clear what it is printed on, either."""
    return encodable(printable_json(text), encoding)


def _has(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
