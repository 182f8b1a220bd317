"""Options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stream.sources import Source


class Transport(StrEnum):
    tcp = "tcp"
    udp = "udp"


Model = Annotated[str, typer.Option(help='"pocket", a model folder, or a hub name such as Qwen/Qwen2-VL-2B-Instruct')]
Device = Annotated[str, typer.Option(help='"auto", "cpu" or "cuda"')]
Dtype = Annotated[str, typer.Option(help='"auto" (as the checkpoint says), "float32", "bfloat16" or "float16"')]
Runner = Annotated[str, typer.Option(help='what computes: "pytorch", or "your.package:YourRunner"')]
Fps = Annotated[float, typer.Option(help="frames looked at per second of video")]
MaxPixels = Annotated[int, typer.Option(min=1, help="pixels per picture or frame for the model, at most")]
Rtsp = Annotated[Transport, typer.Option(help="how RTSP brings its packets")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines for a program instead of text for people")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="threads that compute  [default: as many cores as this process may use]")
]
Seconds = Annotated[float | None, typer.Option(help="stop after so many seconds")]


def open_address(source: str, transport: Transport) -> Source:
    from stream.sources.address import open_source

    is_rtsp = source.lower().startswith(("rtsp:", "rtsps:"))
    return open_source(source, transport=transport.value) if is_rtsp else open_source(source)
