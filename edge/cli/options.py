"""Options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

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
Live = Annotated[
    bool | None,
    typer.Option(
        "--live/--recording",
        help="whether an address on the network is a camera or has an end  [default: what its server says]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines for a program instead of text for people")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="threads that compute  [default: as many cores as this process may use]")
]
KeepDamaged = Annotated[bool, typer.Option("--keep-damaged", help="look at pictures of which data was lost, too")]
Deinterlace = Annotated[bool, typer.Option(help="mend interlaced pictures, where the video says it has them")]
Seconds = Annotated[float | None, typer.Option(help="stop after so many seconds")]


def open_address(
    source: str,
    transport: Transport,
    live: bool | None = None,
    *,
    fps: float = 2.0,  # how often a camera that gives single pictures is asked
    keep_damaged: bool = False,
    deinterlace: bool = True,
) -> Source:
    """Raises ValueError for options that mean nothing to this source."""
    from stream.sources.address import open_source, parse
    from stream.sources.decoding import Decoding

    scheme = parse(source).scheme
    options: dict[str, Any] = {}
    if scheme in ("rtsp", "rtsps"):
        options |= {"transport": transport.value, "live": live}
    elif scheme in ("http", "https"):
        options |= {"live": live, "poll_fps": fps}
    elif live is not None:
        raise ValueError("--live and --recording are for addresses on the network; what this is, is known.")
    if scheme not in ("folder", "synthetic"):  # there nothing is decoded
        options["decoding"] = Decoding(keep_damaged=keep_damaged, deinterlace=deinterlace)
    return open_source(source, **options)
