"""Every key of a configuration with its type, what it is where it is left away, and its meaning: REFERENCE.md."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from edge.config.keys import Camera, Config, Model, Server, Store

PARTS: dict[str, type[BaseModel]] = {"model": Model, "server": Server, "store": Store, "cameras.NAME": Camera}
KINDS = {
    "string": "text", "number": "number", "integer": "whole number", "boolean": "true or false", "array": "list",
}  # fmt: skip
TITLE = """\
# The configuration of a daemon

`edge serve -c edge.yaml`; `edge check-config edge.yaml` tells every mistake. `defaults` has the keys of a camera but
`address` and `enabled`, and goes for all that do not say otherwise. Times are seconds, or `8s`, `5m`, `2h`, `7d`; sizes
`500MB`, `2GB`. `{EDGE_NAME}` in any text stands for that variable of the environment. A camera that is asked
nothing is described.

SIGHUP, or `POST /v1/config/reload`, reads the file again: cameras that changed are watched anew, the others never
notice; a file with a mistake changes nothing; `model`, `server` and `store` go for the next start. This page is made by
`edge check-config --reference`.
"""


def reference() -> str:
    return TITLE + "".join(f"\n## {name}\n\n" + "\n".join(_rows(kind)) + "\n" for name, kind in PARTS.items())


def _rows(kind: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | left away | meaning |"
    yield "| --- | --- | --- | --- |"
    kinds = kind.model_json_schema()["properties"]
    for name, field in kind.model_fields.items():
        default = "needed" if field.default is PydanticUndefined else _default(field.default)
        yield f"| `{name}` | {_kind(kinds[name])} | {default} | {field.description} |"


def _kind(schema: dict[str, object]) -> str:
    several = schema.get("anyOf")
    if isinstance(several, list):
        return " or ".join(_kind(each) for each in several if each.get("type") != "null")
    return KINDS[str(schema["type"])]


def _default(value: object) -> str:
    if value is None or value == ():
        return "nothing"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


assert set(Config.model_fields) == {"model", "server", "store", "defaults", "cameras"}  # what TITLE and PARTS speak of
