from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from stream.errors import ConnectionFailed, NoVideo, Stalled
from stream.sources.connection import Connection
from stream.sources.container import ContainerReader, arrival_stamps


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures and a second of silence beside them."""
    path = tmp_path_factory.mktemp("container") / "sounding.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream("pcm_s16le", rate=8000)
        for index in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * index, np.uint8), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 10)
            container.mux(video.encode(picture))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            sound.sample_rate, sound.pts = 8000, 800 * index
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def reader(path: Path, heard: list[int]) -> ContainerReader:
    return ContainerReader(
        "clip",
        lambda: av.open(str(path)),
        lambda container, track: arrival_stamps(container),
        lambda error, opening: ConnectionFailed("opening" if opening else "reading"),
        lambda: heard.append(1) is None,
    )


def test_packets_of_other_tracks_are_told_and_not_taken_for_pictures(sounding: Path) -> None:
    heard: list[int] = []
    opened, *items = reader(sounding, heard).read()
    assert opened is None
    assert len([item for item in items if item is not None]) == 10
    assert len(heard) >= 10


class OtherTracksOnly:
    """A container whose sound goes on for ever, while its pictures do not come."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self.streams, self.format = container.streams, container.format
        self.is_closed = False

    def __enter__(self) -> OtherTracksOnly:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()
        self.is_closed = True

    def demux(self) -> Iterator[Any]:
        sound = next(packet for packet in self._container.demux() if packet.stream.type == "audio")
        while True:
            yield sound


def test_a_connection_that_is_left_is_closed_though_only_sound_comes(sounding: Path) -> None:
    deaf = OtherTracksOnly(av.open(str(sounding)))
    heard = threading.Event()

    def on_other() -> bool:
        heard.set()
        return connection.heard()

    reading = ContainerReader(
        "camera",
        lambda: cast(Any, deaf),
        lambda container, track: arrival_stamps(container),
        lambda error, opening: ConnectionFailed("reading"),
        on_other,
    )
    connection = Connection("camera", reading.read, lambda opening: Stalled("silent"), open_timeout=20, read_timeout=20)
    watching = threading.Thread(target=lambda: list(connection.frames()))
    watching.start()
    assert heard.wait(20)
    connection.close()
    watching.join(20)
    left = [thread for thread in threading.enumerate() if thread.name == "connection to camera"]
    for thread in left:
        thread.join(20)
    assert deaf.is_closed


def test_what_cannot_be_opened_is_a_failure_of_opening(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="opening"):
        list(reader(tmp_path / "nothing.mkv", []).read())


def test_sound_alone_is_no_video(media: Path) -> None:
    with pytest.raises(NoVideo):
        list(reader(media / "sound.wav", []).read())
