"""What is said aloud, and what refused, where answers may mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge_command import run

from stream.clip import write_clip
from stream.sources.scene import Scene

PARCEL = "Is there a parcel at the door?"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "scene.mp4"
    write_clip(path, (Scene(1).render(index / 4, 112, 112) for index in range(8)), fps=4)
    return path


@pytest.mark.parametrize("words", [["--ask", PARCEL], ["--ground", "red circle, person"]])
def test_a_question_about_real_things_is_refused_before_anything_is_opened_or_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.setattr("edge.loading.load_engine", lambda *_, **__: pytest.fail("loaded"))
    out = tmp_path / "events.jsonl"
    assert run(monkeypatch, "watch", "rtsp://10.0.0.7/live", *words, "--out", out) == 2
    said = capsys.readouterr().err

    assert "NotTaught" in said and "--model Qwen/Qwen2-VL-2B-Instruct" in said and "--model pocket" in said
    assert not out.exists()


def test_whoever_names_pocket_may_ask_it_anything_and_hears_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    assert run(monkeypatch, "watch", clip, "--model", "pocket", "--ask", PARCEL) == 0
    shown = capsys.readouterr()

    assert "p(yes)" in shown.out and "drawn shapes" not in shown.err


def test_of_a_drawn_scene_anything_is_asked_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "watch", "synthetic://?seconds=1&size=112x112", "--ask", PARCEL) == 0

    assert "drawn shapes" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["watch"], ["describe", "--max-tokens", "2"]])
def test_of_anything_else_one_line_says_what_pocket_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path, words: list[str]
) -> None:
    assert run(monkeypatch, *words, clip) == 0
    shown = capsys.readouterr()

    assert [line for line in shown.err.splitlines() if "knows drawn shapes only" in line and "--model" in line]
    assert "knows drawn shapes only" not in shown.out


def test_one_camera_among_drawn_scenes_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "watch", "synthetic:", "rtsp://10.0.0.7/live", "--ask", PARCEL) == 2

    assert "'parcel'" in capsys.readouterr().err


def test_random_weights_are_called_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    assert run(monkeypatch, "describe", clip, "--model", "random:pocket", "--max-tokens", 2) == 0

    assert "random:pocket has random weights" in capsys.readouterr().err
