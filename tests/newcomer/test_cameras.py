"""Somebody with four RTSP cameras, and somebody with plugins of their own: their scripts, run to the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from edge_command import run
from PIL import Image

import edge.loading
from edge.engine.engine import Engine
from stream.clip import write_clip
from stream.rtsp_server import RtspServer
from stream.sources.scene import Scene

HERE = Path(__file__).parent
NAMES = ("front", "back", "side", "garage")
SEEDS = (1, 6, 2, 3)
PASSWORD = "s3cr3t"


@pytest.fixture
def cameras(tmp_path: Path) -> Iterator[dict[str, RtspServer]]:
    """Four that play drawn scenes."""
    with ExitStack() as servers:
        found = {}
        for name, seed in zip(NAMES, SEEDS, strict=True):
            clip, scene = tmp_path / f"scene-{seed}.mp4", Scene(seed, 168, 112, duration=4.0)
            write_clip(clip, (scene.render(index / 10, 112, 168) for index in range(40)), fps=10)
            found[name] = servers.enter_context(RtspServer(clip, user="viewer", password=PASSWORD))
        yield found


def words(cameras: dict[str, RtspServer]) -> list[str]:
    return [f"{name}={server.url_with_login}" for name, server in cameras.items()]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def on_the_path() -> dict[str, str]:
    """Where `edge` is found as it would be after an installation."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_four_cameras_by_name_one_of_which_comes_later(cameras: dict[str, RtspServer], tmp_path: Path) -> None:
    """The garage is switched on once the others have been told of, and is told of too; then Ctrl-C."""
    cameras["garage"].refuse()
    addresses = [server.url_with_login for server in cameras.values()]
    with subprocess.Popen(
        ["sh", str(HERE / "cameras.sh"), *addresses],
        cwd=tmp_path, env=on_the_path(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None and watching.stderr is not None
        try:
            told, shown = set[str](), ""
            while told != {"front", "back", "side"}:
                shown += (line := watching.stdout.readline())
                told.add(json.loads(line)["stream"])
            cameras["garage"].refuse(False)
            while "garage" not in told:
                shown += (line := watching.stdout.readline())
                told.add(json.loads(line)["stream"])
            watching.send_signal(signal.SIGINT)
            rest, beside = watching.communicate(timeout=60)
        finally:
            watching.kill()  # no news to one that has ended

    assert watching.returncode == 0
    *events, front, back, side, garage = lines(shown + rest)
    assert [summary["stream"] for summary in (front, back, side, garage)] == list(NAMES)
    for summary in (front, back, side, garage):
        assert summary["ended"] == "stopped" and summary["error"] is None
        assert summary["received"] == summary["analysed"] + sum(summary["dropped"].values()) + summary["pending"]
        own = [event for event in events if event["stream"] == summary["stream"]]
        assert len(own) == summary["events"] - summary["unchanged"] > 0
        assert (tmp_path / f"seen-{summary['stream']}.mp4").stat().st_size > 1000
    assert sorted(map(str, lines((tmp_path / "events.jsonl").read_text()))) == sorted(map(str, events))
    judged = {event["stream"] for event in events if event["answer"] == "yes" or event["boxes"]}
    kept = list((tmp_path / "pictures").iterdir())
    assert judged and {picture.name.partition("_")[0] for picture in kept} == judged
    with Image.open(kept[0]) as picture:
        assert picture.size == (168, 112)
    assert PASSWORD not in shown + rest + beside + (tmp_path / "events.jsonl").read_text()


def test_four_cameras_take_the_weights_once(
    cameras: dict[str, RtspServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load, loaded, opened = edge.loading.load_engine, [], []

    def load_once(*words: Any, **options: Any) -> Engine:
        loaded.append(load(*words, **options))
        return loaded[-1]

    def open_context(engine: Engine, max_groups: int) -> Any:
        opened.append(engine)
        return open_as_ever(engine, max_groups)

    open_as_ever = Engine.open
    monkeypatch.setattr(edge.loading, "load_engine", load_once)
    monkeypatch.setattr(Engine, "open", open_context)
    assert run(monkeypatch, "watch", *words(cameras), "--duration", 4, "--ground", "red circle", "--json") == 0

    assert len(loaded) == 1 and opened == loaded * len(NAMES)
    assert {event["stream"] for event in lines(capsys.readouterr().out)} == set(NAMES)


def test_a_camera_that_never_comes_and_one_with_a_wrong_password_end_alone(
    cameras: dict[str, RtspServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras["garage"].refuse()
    addresses = [word.replace(PASSWORD, "wr0ng") if "side=" in word else word for word in words(cameras)]
    assert run(monkeypatch, "watch", *addresses, "--duration", 5, "--ground", "red circle", "--json") == 3
    shown = capsys.readouterr()

    *events, front, back, side, garage = lines(shown.out)
    assert {event["stream"] for event in events} == {"front", "back"}
    assert front["ended"] == back["ended"] == "duration"
    assert side["ended"] == "STREAM_AUTH_FAILED" and "password" in side["error"]
    assert garage["ended"] == "STREAM_TIMEOUT" and "connection refused" in garage["error"]
    assert "side is over" in shown.err and "wr0ng" not in shown.err


def test_one_camera_that_is_off_is_waited_for_only_where_that_is_asked_for(
    cameras: dict[str, RtspServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras["front"].refuse()
    (address, *_) = words(cameras)
    assert run(monkeypatch, "watch", address) == 3
    assert "ConnectionFailed" in capsys.readouterr().err

    assert run(monkeypatch, "watch", address, "--wait", "--duration", 1) == 3
    assert "not one picture came in 1 s" in capsys.readouterr().err


def test_the_table_of_several_has_a_column_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = "synthetic://?seconds=2&size=112x112"
    assert run(monkeypatch, "watch", f"front={drawn}", f"{drawn}&seed=3", "--crop", "front=0,0,0.5,1") == 0
    shown = capsys.readouterr()

    assert "2 cameras" in shown.err and "front" in shown.err and "end of file" in shown.err
    assert {line.split()[0] for line in shown.out.splitlines() if "describe" in line} == {"front", f"{drawn}&seed=3"}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["front=synthetic:", "front=synthetic:"], 2, "given twice"),
        (["=synthetic:", "b=synthetic:"], 2, "is empty"),
        (["0=synthetic:"], 2, "cannot be told from an address"),
        (["synthetic:", "--wait"], 2, "--wait"),
        (["synthetic:", "--crop", "0,0,0,0"], 2, "crop"),
        (["front=synthetic:", "--crop", "back=0,0,1,1"], 2, "no camera is called 'back'"),
        (["synthetic:", "--crop", "400,0,100,100"], 3, "448x336"),
        (["front=synthetic:", "back=no-such-clip.mp4"], 3, "no-such-clip.mp4"),
        (["no_such_package:Source"], 2, "no_such_package"),
        (["stream.errors:BadPicture"], 2, "has no live"),
    ],
)
def test_a_mistake_is_named_and_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], code: int, says: str
) -> None:
    assert run(monkeypatch, "watch", *more) == code
    shown = capsys.readouterr()
    assert says in shown.err and "Traceback" not in shown.err


def test_plugins_from_the_current_folder_one_of_each_kind(tmp_path: Path) -> None:
    shutil.copy(HERE / "my_plugins.py", tmp_path)
    names = {"task": "Brightness", "sink": "Keep", "runner": "Counting"}
    options = [word for option, name in names.items() for word in (f"--{option}", f"my_plugins:{name}")]
    subprocess.run(
        ["edge", "watch", "my_plugins:Lamp", *options, "--model", "pocket", "--every", "2"],
        cwd=tmp_path, env=on_the_path(), check=True, capture_output=True,
    )  # fmt: skip

    kept = (tmp_path / "kept.txt").read_text().splitlines()
    assert kept and all(line.startswith("lamp brightness ") and "it was said: " in line for line in kept)
    assert {int(line.split()[2]) for line in kept} == {10, 250}
    assert int((tmp_path / "encoded.txt").read_text()) >= 2
