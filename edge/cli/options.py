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
Rtsp = Annotated[Transport | None, typer.Option(help="how RTSP brings its packets  [default: tcp]", show_default=False)]
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
KeepDamaged = Annotated[
    bool | None,
    typer.Option("--keep-damaged", help="look at pictures of which data was lost, too", show_default=False),
]
Deinterlace = Annotated[
    bool | None,
    typer.Option(
        "--deinterlace/--no-deinterlace",
        help="mend interlaced pictures, where the video says it has them  [default: deinterlace]",
        show_default=False,
    ),
]
Seconds = Annotated[float | None, typer.Option(help="stop after so many seconds")]


RTSP = frozenset({"rtsp", "rtsps"})
NETWORK = RTSP | {"http", "https"}
DECODED = NETWORK | {"file", "camera"}


def open_address(
    source: str,
    transport: Transport | None = None,  # None, here and below: not said
    live: bool | None = None,
    *,
    fps: float = 2.0,  # how often a camera that gives single pictures is asked
    keep_damaged: bool | None = None,
    deinterlace: bool | None = None,
) -> Source:
    """Raises ValueError for options that mean nothing to this source."""
    from stream.sources.address import open_source, parse
    from stream.sources.decoding import Decoding

    scheme = parse(source).scheme
    _refuse("--transport is", transport, scheme in RTSP, "for rtsp:// and rtsps://")
    _refuse("--live and --recording are", live, scheme in NETWORK, "for addresses on the network")
    _refuse("--keep-damaged is", keep_damaged, scheme in DECODED, "for video that is decoded")
    _refuse("--deinterlace and --no-deinterlace are", deinterlace, scheme in DECODED, "for video that is decoded")
    options: dict[str, Any] = {}
    if scheme in NETWORK:
        options |= {"live": live}
        options |= {"transport": (transport or Transport.tcp).value} if scheme in RTSP else {"poll_fps": fps}
    if scheme in DECODED:
        options["decoding"] = Decoding(keep_damaged=bool(keep_damaged), deinterlace=deinterlace is not False)
    return open_source(source, **options)


def _refuse(name: str, value: object, means_something: bool, what: str) -> None:
    """An option that was said and would do nothing is a mistake, not a detail."""
    if value is not None and not means_something:
        raise ValueError(f"{name} {what}, and this source is something else.")
