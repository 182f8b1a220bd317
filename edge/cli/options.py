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
Fps = Annotated[float, typer.Option(help="frames looked at per second of video")]
MaxPixels = Annotated[int, typer.Option(min=1, help="pixels per picture or frame for the model, at most")]
Rtsp = Annotated[Transport, typer.Option(help="how RTSP brings its packets")]
Live = Annotated[
    bool | None,
    typer.Option(
        "--live/--recording",
        help="whether an address on the network is a camera or has an end  [default: what its server says]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines for a program instead of text for people")]
Seconds = Annotated[float | None, typer.Option(help="stop after so many seconds")]


def open_address(source: str, transport: Transport, live: bool | None = None, fps: float = 2.0) -> Source:
    """`fps` is how often a camera that gives single pictures is asked. Raises ValueError for senseless options."""
    from stream.sources.address import open_source

    is_rtsp = source.lower().startswith(("rtsp:", "rtsps:"))
    is_web = source.lower().startswith(("http:", "https:"))
    if live is not None and not (is_rtsp or is_web):
        raise ValueError("--live and --recording are for addresses on the network; what this is, is known.")
    if is_rtsp:
        return open_source(source, transport=transport.value, live=live)
    return open_source(source, live=live, poll_fps=fps) if is_web else open_source(source)
