"""YAML to a configuration. All mistakes are told at once, each with its line and what to do.

Secrets come from the environment: {EDGE_CAMERA_PASSWORD} in any text, for names that begin with EDGE_. What is put in
their place never shows in a mistake.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from edge.config.keys import Config
from edge.errors import BadConfig

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000  # with all that aliases repeat
SECRET = re.compile(r"\{(EDGE_[A-Z0-9_]+)\}")

Place = tuple[str | int, ...]
"""Of a value: ("cameras", "front", "fps")."""


def read_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Raises BadConfig, with every mistake in a line of its own."""
    parsed = _parse(path, _text(path))
    mistakes: list[str] = []
    values = _plain(parsed, path, environ, mistakes, (), [MAX_VALUES])
    if not mistakes:
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            mistakes = [_told(path, parsed, each) for each in error.errors(include_input=False, include_context=False)]
    raise BadConfig("\n".join(mistakes))


def config_of(values: Mapping[str, Any]) -> Config:
    """Of words that no file holds. Raises BadConfig."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        mistakes = error.errors(include_input=False, include_context=False)
        told = (f"{_spelled(tuple(each['loc']))}: {each['msg'].removeprefix('Value error, ')}" for each in mistakes)
        raise BadConfig("; ".join(told)) from None


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadConfig(f"{path}: it cannot be read ({error.strerror}). Name another file.") from error
    if len(content) > MAX_BYTES:
        raise BadConfig(f"{path}: it has {len(content)} bytes; a configuration has {MAX_BYTES} at most.")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadConfig(f"{path}: byte {error.start} is no UTF-8. Save it as UTF-8.") from error


def _parse(path: Path, text: str) -> CommentedMap:
    try:
        parsed = YAML().load(text)
    except MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        line = f"{path}:{at.line + 1}" if at is not None else str(path)
        problem = str(error.problem or "it is no YAML").strip().splitlines()[0]
        raise BadConfig(f"{line}: {SECRET.sub('...', problem)}.") from None
    except (YAMLError, ValueError, RecursionError):
        raise BadConfig(f"{path}: it is no YAML.") from None
    if not isinstance(parsed, CommentedMap):
        found = "empty" if parsed is None else f"a {'list' if isinstance(parsed, list) else 'single value'}"
        raise BadConfig(f"{path}: it is {found}. Begin with the keys model, server, defaults, cameras.")
    return parsed


def _plain(
    value: Any, path: Path, environ: Mapping[str, str], mistakes: list[str], place: Place, left: list[int]
) -> Any:
    """Without YAML's own types, and with secrets in their places."""
    left[0] -= 1
    if left[0] < 0:
        raise BadConfig(f"{path}: it stands for more than {MAX_VALUES} values. Aliases repeat too much.")
    if isinstance(value, Mapping):
        return {
            str(key): _plain(each, path, environ, mistakes, (*place, str(key)), left) for key, each in value.items()
        }
    if isinstance(value, list):
        return [_plain(each, path, environ, mistakes, (*place, n), left) for n, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in SECRET.findall(value):
        if name not in environ:
            mistakes.append(f"{path}: {_spelled(place)}: {name} is not in the environment. Set it, or leave it away.")
    return SECRET.sub(lambda found: environ.get(found[1], ""), value)


def _told(path: Path, parsed: CommentedMap, error: Mapping[str, Any]) -> str:
    place = tuple(part for part in error["loc"] if part != "[key]")
    line = _line(parsed, place)
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        said = f"there is no such key. {f'Is {near[0]} meant?' if near else 'There are: ' + ', '.join(known) + '.'}"
    elif error["type"] == "missing":
        said = "it is needed."
    return f"{path}:{line}: {_spelled(place)}: {said}"


def _spelled(place: Place) -> str:
    return ".".join(map(str, place)) or "the file"


def _line(parsed: Any, place: Place) -> int:
    """Of the deepest part of the place that is there, counted from 1."""
    line = 0
    for part in place:
        if isinstance(parsed, CommentedMap) and part in parsed:
            line = parsed.lc.key(part)[0]
        elif isinstance(parsed, CommentedSeq) and isinstance(part, int) and part < len(parsed):
            line = parsed.lc.item(part)[0]
        else:
            break
        parsed = parsed[part]
    return line + 1


def _keys_at(place: Place) -> list[str]:
    """The keys that may stand at a place."""
    kind: type[BaseModel] = Config
    for part in place:
        field = kind.model_fields.get(str(part))
        if field is not None:
            kinds = list(_models(field.annotation))
            kind = kinds[0] if kinds else kind
    return list(kind.model_fields)


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
