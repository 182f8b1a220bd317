"""The main job on one machine, offline: an RTSP camera on loopback, watched, and its answers scored.

A drawn scene becomes an H.264 clip, our own server plays it as a camera, and a session watches that
camera exactly as `edge watch` would. Since the scene is drawn, the truth of every frame is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.commands.watch import WatchOptions, make_session, make_sinks, make_tasks
from edge.engine.engine import Engine
from stream.clip import write_clip
from stream.event import Event
from stream.frame import Frame, Pixels
from stream.rtsp_server import RtspServer
from stream.sources.address import open_source
from stream.sources.file import FileSource
from stream.sources.scene import Scene, Thing
from stream.summary import Summary

SEED = 2  # four shapes that stand, move, enter and leave
WINDOW = 8  # groups
WIDTH, HEIGHT, FPS = 640, 480, 25
LABELS = 3  # how many of the scene's things are looked for by name
MIN_RIGHT = 0.7  # share of boxes that must match the truth
MIN_IOU = 0.5  # intersection over union from which a box counts as right
THUMBNAIL = (64, 48)  # pictures are told apart at this size


@dataclass(frozen=True, slots=True)
class DemoResult:
    """How the answers compare with the scene."""

    summary: Summary
    events: Path
    overlay: Path
    boxes_expected: int
    boxes_right: int
    boxes_wrong: int  # drawn where nothing of the kind is
    mean_iou: float

    @property
    def is_right(self) -> bool:
        """Most boxes where they belong, few where nothing is."""
        enough = self.boxes_right >= MIN_RIGHT * self.boxes_expected
        return self.boxes_expected > 0 and enough and self.boxes_wrong <= (1 - MIN_RIGHT) * self.boxes_expected

    def to_dict(self) -> dict[str, Any]:
        fields = {name: value for name, value in asdict(self).items() if name != "summary"}
        return {**fields, "events": str(self.events), "overlay": str(self.overlay), "passed": self.is_right}


def run_demo(engine: Engine, folder: Path, seconds: float, on_start: Callable[[str], None]) -> DemoResult:
    """`on_start` gets the camera's address. Leaves scene.mp4, events.jsonl and annotated.mp4 in `folder`.

    Raises what a session raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene(SEED, WIDTH, HEIGHT, duration=seconds)
    clip, events, overlay = demo_files(folder).values()
    write_clip(clip, (scene.render(index / FPS, HEIGHT, WIDTH) for index in range(round(seconds * FPS))), FPS)
    events.unlink(missing_ok=True)
    scorer = Scorer(scene, FileSource(clip))
    tasks = make_tasks("Describe the video.", ", ".join(actor.label for actor in scene.actors[:LABELS]), None)
    with RtspServer(str(clip), user="demo", password="loopback") as server:
        on_start(server.url)
        camera = open_source(server.url_with_login)
        sinks = [*make_sinks(as_json=False, out=events, overlay=overlay), scorer]
        session = make_session(camera, engine, tasks, sinks, WatchOptions(window=WINDOW, duration=seconds))
        summary = session.run()
    if session.error is not None:
        raise session.error
    return scorer.result(summary, events, overlay)


def demo_files(folder: Path) -> dict[str, Path]:
    """What a demo writes: the scene's clip, the events, the annotated video."""
    return {name: folder / name for name in ("scene.mp4", "events.jsonl", "annotated.mp4")}


class Scorer:
    """A sink that holds the boxes against the truth. The picture itself tells which moment it shows."""

    def __init__(self, scene: Scene, film: Iterable[Frame]) -> None:
        self._scene = scene
        self._thumbnails = np.stack([_thumbnail(frame.pixels) for frame in film])
        self._ious: list[float] = []
        self._wrong = 0

    def publish(self, event: Event, picture: Pixels) -> None:
        if not event.task.startswith("ground:"):
            return
        moment = self._moment(picture)
        if not self._scene.is_clear(moment):
            return  # nobody could say whether a thing half out of the picture is there
        wanted = event.task.removeprefix("ground:")
        there: list[Thing] = [thing for thing in self._scene.things(moment) if thing.label == wanted]
        for thing in there:
            self._ious.append(max((box.iou(thing.box) for box in event.boxes if box.label == wanted), default=0.0))
        self._wrong += sum(all(box.iou(thing.box) < MIN_IOU for thing in there) for box in event.boxes)

    def close(self) -> None:
        pass

    def result(self, summary: Summary, events: Path, overlay: Path) -> DemoResult:
        ious = np.array(self._ious)
        return DemoResult(
            summary, events, overlay,
            boxes_expected=len(ious),
            boxes_right=int((ious >= MIN_IOU).sum()),
            boxes_wrong=self._wrong,
            mean_iou=float(ious.mean()) if len(ious) else 0.0,
        )  # fmt: skip

    def _moment(self, picture: Pixels) -> float:
        """Seconds into the scene at which it looked most like the picture."""
        distance = np.abs(self._thumbnails - _thumbnail(picture)).mean(axis=(1, 2, 3))
        return float(distance.argmin()) / FPS


def _thumbnail(picture: Pixels) -> np.ndarray[Any, np.dtype[np.int16]]:
    return cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.int16)
