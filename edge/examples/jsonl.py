"""A file of conversations, one a line, as chat takes them and as training sets are often written:

    {"messages": [{"role": "user", "content": [{"type": "image", "image": "door.jpg"},
                                               {"type": "text", "text": "Is the door open? Answer yes or no."}]},
                  {"role": "assistant", "content": "Yes."}]}

A line may also be the list of messages alone. Where the last message is the assistant's, it is the true answer; else
nobody knows it. Paths that do not begin at the root are those of the file's own folder. Pictures and videos that say
nothing of their size are looked at as a stream's frames are. A line that cannot be used is reported with its number,
and the rest is read.
"""

from __future__ import annotations

import itertools
import json
import reprlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.errors import BadMessage, NoExamples, PromptError
from edge.examples.example import Example, Report, Unusable
from edge.media import addresses
from edge.media.access import PATH, TRUSTED
from edge.media.limits import DEFAULT_MAX_PIXELS, Limits
from edge.media.messages import LOADERS, read
from edge.media.parameters import FOR_PIXELS
from stream.errors import StreamError


def fits_always(example: Example) -> str:
    return ""


class JsonLines:
    """The examples of a file, each read when it is asked for.

    Args:
        fit: why an example cannot be used by whoever asks for it; "" where it can.

    Raises NoExamples for a file that cannot be read or holds no line, and at the end when none could be used.
    """

    def __init__(self, path: Path, limits: Limits, report: Report, fit: Callable[[Example], str] = fits_always) -> None:
        self._path, self._limits, self._report, self._fit = path, limits, report, fit
        self._length = sum(1 for _ in self._lines())
        if not self._length:
            raise NoExamples(f"{path} is empty. It should hold a conversation a line: {{'messages': [...]}}.")

    def __len__(self) -> int:
        """Lines that are not blank."""
        return self._length

    def __iter__(self) -> Iterator[Example]:
        is_empty = True
        for number, line in self._lines():
            try:
                example = self._example(line, f"line {number}")
            except (PromptError, StreamError) as error:
                self._report(Unusable(f"line {number}", str(error)))
                continue
            if reason := self._fit(example):
                self._report(Unusable(example.where, reason))
                continue
            is_empty = False
            yield example
        if is_empty:
            raise NoExamples(f"none of the {len(self)} lines of {self._path} can be used; the reasons are above.")

    def first(self, count: int) -> Iterator[Example]:
        """So many of those that can be used."""
        return itertools.islice(self, count)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """With their numbers, from 1. A byte that is no UTF-8 spoils its own line only."""
        try:
            with self._path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
                yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        except OSError as error:
            raise NoExamples(f"{self._path} cannot be read: {error.strerror}.") from None

    def _example(self, line: str, where: str) -> Example:
        """Raises PromptError and StreamError."""
        messages = _messages(line)
        answer = ""
        if isinstance(messages[-1], Mapping) and messages[-1].get("role") == "assistant":
            answer = _text(messages.pop())
        placed = [_placed(message, self._path.parent) for message in messages]
        return Example(read(placed, self._limits, TRUSTED), answer, where)


def _messages(line: str) -> list[Any]:
    try:
        line.encode()
        found = json.loads(line)
    except UnicodeEncodeError:
        raise BadMessage("it is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"it is no JSON: {error}.") from None
    messages = found.get("messages") if isinstance(found, dict) else found
    if not isinstance(messages, list) or not messages:
        shown = f"an object with {', '.join(found) or 'nothing'}" if isinstance(found, dict) else reprlib.repr(found)
        raise BadMessage(f"it holds no messages but {shown}. Write {{'messages': [{{'role': ...}}, ...]}}.")
    return messages


def _text(message: Mapping[str, Any]) -> str:
    """Of the answer. Raises BadMessage where it is more, or nothing."""
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        texts = [part.get("text") for part in content]
        content = "".join(texts) if all(isinstance(text, str) for text in texts) else None
    if not isinstance(content, str) or not content.strip():
        raise BadMessage("its answer, the last message, is no text.")
    return content


def _placed(message: Any, folder: Path) -> Any:
    """With the paths of its pictures from `folder` on, and at the size of a stream's frames."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [_part(part, folder) for part in message["content"]]}


def _part(part: Any, folder: Path) -> Any:
    if not isinstance(part, Mapping) or not LOADERS.keys() & part.keys():
        return part
    found = {name: _address(value, folder) if name in LOADERS else value for name, value in part.items()}
    return found if FOR_PIXELS & found.keys() else {**found, "max_pixels": DEFAULT_MAX_PIXELS}


def _address(value: Any, folder: Path) -> Any:
    """A path, an address, {"url": ...}, or a list of frames."""
    if isinstance(value, list):
        return [_address(each, folder) for each in value]
    if isinstance(value, Mapping):
        return {name: _address(each, folder) if name == "url" else each for name, each in value.items()}
    if isinstance(value, str) and addresses.scheme(value) == PATH and not value.startswith("~"):
        return str(folder / value)
    return value
