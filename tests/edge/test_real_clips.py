"""Real camera footage, watched to its end by file and for a while over RTSP; no frame is lost unaccounted."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

import edge
from edge.commands.watch import WatchOptions, make_session, make_tasks
from edge.engine.engine import Engine
from stream.rtsp_server import RtspServer
from stream.sources.address import open_source
from stream.summary import Summary

NAMES = ("intel-bottle-detection.mp4", "intel-car-detection.mp4", "intel-one-by-one-person-detection.mp4")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return edge.load("pocket", device="cpu").engine


def watch(engine: Engine, address: str, options: WatchOptions) -> Summary:
    session = make_session(open_source(address), engine, make_tasks("Describe the video.", "car", None), [], options)
    summary = session.run()
    assert session.error is None
    assert summary.received == summary.analysed + sum(summary.dropped.values()) + summary.pending
    assert summary.pending == 0
    return summary


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_watched_to_its_end(engine: Engine, clips: Path, name: str) -> None:
    with av.open(str(clips / name)) as container:
        num_frames = sum(1 for _ in container.decode(video=0))
    summary = watch(engine, str(clips / name), WatchOptions(every=5.0, window=4))
    assert summary.ended == "end of file"
    assert summary.received == num_frames
    assert set(summary.dropped) <= {"between_samples"}
    assert summary.events > 4


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_watched_over_rtsp(engine: Engine, clips: Path, name: str) -> None:
    with RtspServer(clips / name, user="viewer", password="pass word") as server:
        summary = watch(engine, server.url_with_login, WatchOptions(duration=4.0, window=4))
    assert summary.ended == "duration"
    assert summary.received > 10
    assert summary.events >= 2
    assert "pass" not in summary.stream
