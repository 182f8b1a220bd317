"""What a configuration may say. Unknown keys are mistakes; what is left away has the value that is written here."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edge.daemon.guard import is_loopback
from edge.daemon.wanted import Wanted, wanted
from stream.sources.redaction import redact

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"kb": 1e3, "mb": 1e6, "gb": 1e9}
SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def seconds(value: Any) -> Any:
    """ "90s", "1.5 m", "2h" or a number of seconds."""
    if not isinstance(value, str):
        return value
    found = SPAN.fullmatch(value)
    if found is None or found[2] not in UNITS:
        raise ValueError(f"{value!r} is no time. Write 8, 8s, 5m, 2h or 7d.")
    return float(found[1]) * UNITS[found[2]]


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]


def size(value: Any) -> Any:
    """ "500MB", "2GB" or a number of bytes."""
    if not isinstance(value, str):
        return value
    found = SPAN.fullmatch(value.lower())
    if found is None or found[2] not in SIZES:
        raise ValueError(f"{value!r} is no size. Write 500MB or 2GB.")
    return round(float(found[1]) * SIZES[found[2]])


Bytes = Annotated[int, BeforeValidator(size)]


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Model(Keys):
    name: str = Field(default="pocket", description="a folder, a hub name such as Qwen/Qwen2-VL-2B-Instruct, or pocket")
    device: str = Field(default="auto", description="auto, cpu or cuda")
    dtype: str = Field(default="auto", description="auto (as the checkpoint says), float32, bfloat16 or float16")
    runner: str = Field(default="pytorch", description="what computes")
    threads: int | None = Field(default=None, ge=1, description="that compute; as many cores as the process may use")


class Server(Keys):
    host: str = Field(default="127.0.0.1", description="address to listen at; all but this machine's own need a token")
    port: int = Field(default=8765, ge=0, le=65535, description="0: any free one")
    token: str | None = Field(default=None, min_length=1, repr=False, description="may do all: {EDGE_TOKEN}")
    read_token: str | None = Field(default=None, min_length=1, repr=False, description="may look and ask")
    allow_hosts: tuple[str, ...] = Field(default=(), description="names under which others reach this daemon")

    @model_validator(mode="after")
    def _guarded(self) -> Server:
        if not is_loopback(self.host) and self.token is None:
            raise ValueError(f"others would reach {self.host}: give a token, such as {{EDGE_TOKEN}}.")
        return self


class Store(Keys):
    path: str | None = Field(default=None, description="a file that keeps all events; none: they are only told")
    max_age: Seconds | None = Field(default=None, description="after which an event goes")
    max_bytes: Bytes | None = Field(default=None, ge=1_000_000, description="of the file; the oldest events make room")


class Asked(Keys):
    """What a camera is asked, and how it is looked at."""

    describe: str | None = Field(default=None, description="what to ask for as a description")
    ask: tuple[str, ...] = Field(default=(), description="questions of yes or no")
    ground: tuple[str, ...] = Field(default=(), description="labels to draw boxes around")
    fps: float = Field(default=2.0, gt=0, le=30, description="frames looked at per second of video")
    seconds: Seconds | None = Field(default=None, gt=0, description="how far every answer looks back, at least")
    every: Seconds = Field(default=0.0, description="time between two answers; 0: as often as possible")
    max_age: Seconds | None = Field(default=None, gt=0, description="an answer that is older is marked as stale")


class Camera(Asked):
    address: str = Field(min_length=1, repr=False, description="as `edge watch` takes it: rtsp://..., camera:0, a file")
    enabled: bool = Field(default=True, description="whether it is watched")

    def wanted(self) -> Wanted:
        """Raises ValueError, StreamError."""
        asked = {name: getattr(self, name) for name in Asked.model_fields}
        return wanted(self.address, **asked)

    def __str__(self) -> str:
        return redact(self.address)


class Config(Keys):
    model: Model = Field(default=Model(), description="the one that all cameras share")
    server: Server = Field(default=Server(), description="who is listened to, and where")
    store: Store = Field(default=Store(), description="where events are kept")
    defaults: Asked = Field(default=Asked(), description="what every camera has that does not say otherwise")
    cameras: dict[Annotated[str, Field(pattern=NAME)], Camera] = Field(default={}, description="by name")

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        """Defaults go into each camera, so that what is said there stands for itself."""
        if not isinstance(values, dict):
            return values
        defaults, cameras = values.get("defaults"), values.get("cameras")
        if not isinstance(defaults, dict) or not isinstance(cameras, dict):
            return values
        merged = {
            name: {**defaults, **camera} if isinstance(camera, dict) else camera for name, camera in cameras.items()
        }
        return {**values, "cameras": merged}
