"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stream.sources import Source


class Transport(StrEnum):
    tcp = "tcp"
    udp = "udp"


Model = Annotated[str, typer.Option(help='"pocket", a model folder, or a hub name such as Qwen/Qwen2-VL-2B-Instruct')]
ChosenModel = Annotated[
    str | None,
    typer.Option(
        help="a model folder, or a hub name such as Qwen/Qwen2-VL-2B-Instruct  "
        "[default: pocket, which is embedded and knows drawn shapes only]",
        show_default=False,
    ),
]
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
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="wait for a camera that is off, but not with a wrong password  [default: wait where there are several]",
        show_default=False,
    ),
]
Draft = Annotated[
    bool,
    typer.Option(
        "--draft/--no-draft",
        help="write what the last answer of the same task foretells several tokens at a time: quicker where little "
        "changes, and the same answers",
    ),
]
Duration = Annotated[float | None, typer.Option(help="stop after so many seconds")]


RTSP = frozenset({"rtsp", "rtsps"})
NETWORK = RTSP | {"http", "https"}
DECODED = NETWORK | {"file", "camera"}
CAMERAS = NETWORK | {"camera"}


def open_address(source: str, transport: Transport | None = None, live: bool | None = None) -> Source:
    """Raises ValueError for options that mean nothing to this source."""
    (opened,) = open_addresses([source], transport, live)
    return opened


def open_addresses(
    sources: Sequence[str],
    transport: Transport | None = None,  # None, here and below: not said
    live: bool | None = None,
    *,
    fps: float = 2.0,  # how often a camera that gives single pictures is asked
    keep_damaged: bool | None = None,
    deinterlace: bool | None = None,
    wait: bool | None = None,  # for a camera that is off; not said: where there are several
) -> list[Source]:
    """Each option is for those sources to which it means something. Raises ValueError for one that means nothing to
    any of them, before the first is opened."""
    from edge.commands.sources import IMPORTED, open_word, scheme_of
    from stream.sources.decoding import Decoding

    schemes = [scheme_of(source) for source in sources]
    _refuse("--transport is", transport, RTSP, schemes, "for rtsp:// and rtsps://")
    _refuse("--live and --recording are", live, NETWORK, schemes, "for addresses on the network")
    _refuse("--keep-damaged is", keep_damaged, DECODED, schemes, "for video that is decoded")
    _refuse("--deinterlace and --no-deinterlace are", deinterlace, DECODED, schemes, "for video that is decoded")
    _refuse("--wait and --no-wait are", wait, CAMERAS, schemes, "for cameras and addresses on the network")
    decoding = Decoding(keep_damaged=bool(keep_damaged), deinterlace=deinterlace is not False)
    patient = len(sources) > 1 if wait is None else wait

    def opened(source: str, scheme: str) -> Source:
        if scheme == IMPORTED:
            return open_word(source)
        options: dict[str, Any] = {}
        if scheme in NETWORK:
            options |= {"live": live}
            options |= {"transport": (transport or Transport.tcp).value} if scheme in RTSP else {"poll_fps": fps}
        if scheme in DECODED:
            options["decoding"] = decoding
        return open_word(source, patient=patient, **options)

    return [opened(source, scheme) for source, scheme in zip(sources, schemes, strict=True)]


def _refuse(name: str, value: object, meant: frozenset[str], schemes: Sequence[str], what: str) -> None:
    """An option that was said and would do nothing is a mistake, not a detail."""
    if value is not None and not meant & set(schemes):
        others = "this source is" if len(schemes) == 1 else "all these sources are"
        raise ValueError(f"{name} {what}, and {others} something else.")
