"""How the console script ends: names and streams that are not UTF-8, a full disk, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_command import run

import edge.loading
from edge.cli.terminal import INTERRUPTED, OUTPUT_FAILED
from stream.clip import write_clip
from stream.sources.scene import Scene

REPOSITORY = Path(__file__).parents[3]
MAIN = "from edge.__main__ import main; main()"
FULL = Path("/dev/full")


def write_scene(path: Path) -> None:
    scene = Scene(1, 112, 84, duration=2.0)
    write_clip(path, (scene.render(index / 10, 84, 112) for index in range(21)), fps=10)


def console(
    *words: str | bytes, code: str = MAIN, stdout: Any = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """`edge WORDS` in a process of its own, since the streams are what is tested."""
    return subprocess.run(
        [sys.executable, "-c", code, *words], stdout=stdout, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}, check=False,
    )  # fmt: skip


def test_a_file_whose_name_is_no_text_loses_no_events(tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"k\xfcche.mp4")
    write_scene(tmp_path / "clip.mp4")
    os.rename(tmp_path / "clip.mp4", named)
    out, overlay = tmp_path / "events.jsonl", tmp_path / "overlay.mp4"

    ended = console("watch", os.fsencode(named), "--out", str(out), "--overlay", str(overlay), "--json")

    *events, summary = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0 and summary["sink_errors"] == 0
    assert events and [json.loads(line) for line in out.read_text("utf-8").splitlines()] == events
    assert events[0]["stream"].endswith("che.mp4")
    assert overlay.stat().st_size > 1000


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_standard_output_of_any_encoding_takes_every_name(tmp_path: Path, encoding: str) -> None:
    clip = tmp_path / "кухня-😀-ü.mp4"
    write_scene(clip)

    watched = console("watch", str(clip), "--json", PYTHONIOENCODING=encoding)
    described = console("describe", str(clip), "--max-tokens", "4", PYTHONIOENCODING=encoding)

    lines = [json.loads(line) for line in watched.stdout.decode(encoding).splitlines()]
    assert watched.returncode == 0 and {line["stream"] for line in lines} == {str(clip)}
    assert described.returncode == 0 and b"\\u043a" in described.stdout
    assert b"Traceback" not in watched.stderr + described.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named_and_has_its_exit_code() -> None:
    with FULL.open("w") as full:
        ended = console("plan", "--device", "h200", "--json", stdout=full)

    assert ended.returncode == OUTPUT_FAILED
    (line,) = ended.stderr.decode().splitlines()
    assert line == "EventsLost: standard output cannot be written to (No space left on device)."


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal, also where these tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


def wrapped() -> None:
    """As a library does that catches everything."""
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        raise ValueError("the file could not be read") from error


def forgotten() -> None:
    """As a library does that tells nothing of the reason."""
    failed = False
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        failed = True
    if failed:
        raise ValueError("the file could not be read")


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("loading", [interrupted, wrapped, forgotten], ids=lambda how: how.__name__)
def test_ctrl_c_while_loading_is_no_defect_whatever_it_became(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loading: Any
) -> None:
    monkeypatch.setattr(edge.loading, "load_engine", lambda *_, **__: loading())

    assert run(monkeypatch, "watch", "synthetic:") == INTERRUPTED

    assert "Traceback" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


INTERRUPTED_IMPORT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "edge.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
from edge.__main__ import main
main()
"""


def test_ctrl_c_before_the_commands_are_imported_is_no_defect_either() -> None:
    ended = console(code=INTERRUPTED_IMPORT)

    assert (ended.returncode, ended.stderr) == (INTERRUPTED, b"")


def test_an_error_that_nothing_interrupted_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("the file could not be read")

    monkeypatch.setattr(edge.loading, "load_engine", fail)

    with pytest.raises(ValueError, match="could not be read"):
        run(monkeypatch, "watch", "synthetic:")


class Interrupting:
    """A sink at whose first event Ctrl-C is pressed."""

    def publish(self, event: object, picture: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def close(self) -> None: ...


def test_ctrl_c_while_watching_ends_it_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.commands.cameras.make_sinks", lambda **_: [Interrupting()])

    assert run(monkeypatch, "watch", "synthetic://?live=1", "--json") == 0

    assert json.loads(capsys.readouterr().out)["ended"] == "stopped"


def test_events_that_cannot_be_written_have_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert run(monkeypatch, "watch", "synthetic:", "--out", tmp_path / "file" / "events.jsonl") == OUTPUT_FAILED

    assert "SinkUnwritable" in capsys.readouterr().err
