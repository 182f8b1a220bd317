"""Several cameras on one engine: what each has of its own, and what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.commands.outputs import check_outputs, source_path
from edge.commands.watch import make_sinks
from edge.hub import model_path
from stream.crop import WHOLE, Crop
from stream.naming import NamedAddress, file_form
from stream.registry import find
from stream.sinks import SINKS, Sink
from stream.sinks.shared import share


def crops_of(words: Sequence[str] | None, cameras: Sequence[NamedAddress]) -> list[Crop]:
    """For each camera its own, written `front=x,y,width,height`, or the one that was written for all.

    Raises ValueError for a rectangle that is none, for a camera that is none, and for two for the same.
    """
    for_all, own = WHOLE, dict[str, Crop]()
    for word in words or ():
        name, equals, rectangle = (part.strip() for part in word.rpartition("="))
        if equals and name not in (names := [camera.shown for camera in cameras]):
            raise ValueError(f"--crop {word}: no camera is called {name!r}. There are: {', '.join(names)}.")
        if name in own or (not equals and for_all != WHOLE):
            raise ValueError(f"--crop {word}: {name or 'all cameras'} had one already.")
        crop = Crop.parse(rectangle)
        if equals:
            own[name] = crop
        else:
            for_all = crop
    return [own.get(camera.shown, for_all) for camera in cameras]


def overlays_of(overlay: Path | None, cameras: Sequence[NamedAddress]) -> list[Path | None]:
    """One video for each camera: of several `door.mp4` becomes `door-front.mp4`."""
    if overlay is None or len(cameras) == 1:
        return [overlay] * len(cameras)
    return [overlay.with_name(f"{overlay.stem}-{file_form(camera.shown)}{overlay.suffix}") for camera in cameras]


def check_files(
    cameras: Sequence[NamedAddress],
    model: str,
    *,
    out: Path | None,
    overlays: Sequence[Path | None],
    snapshots: Path | None,
) -> None:
    """Raises OutputRefused where something would be written over what is read, or twice."""

    def called(what: str, camera: NamedAddress) -> str:
        return what if len(cameras) == 1 else f"{what} {camera.shown}"

    written = {called("--overlay", camera): path for camera, path in zip(cameras, overlays, strict=True)}
    read = {called("the source", camera): source_path(camera.address) for camera in cameras}
    check_outputs({"--out": out, **written, "--snapshots": snapshots}, {**read, "the model": model_path(model)})


def sinks_of(
    cameras: Sequence[NamedAddress],
    *,
    as_json: bool,
    out: Path | None,
    overlays: Sequence[Path | None],
    snapshots: Path | None,
    others: Sequence[Sink],
) -> list[list[Sink]]:
    """For each camera its own overlay, and its handles to what all of them write to. Raises SinkUnwritable."""
    overlay = find("overlay", SINKS)
    own: list[list[Sink]] = [[] if path is None else [overlay(path)] for path in overlays]
    tells_stream = any(camera.name is not None for camera in cameras)
    common = make_sinks(
        as_json=as_json, out=out, overlay=None, snapshots=snapshots, others=others, tells_stream=tells_stream
    )
    handles = [share(sink, len(cameras)) for sink in common]
    return [[*each, *mine] for *each, mine in zip(*handles, own, strict=True)]
