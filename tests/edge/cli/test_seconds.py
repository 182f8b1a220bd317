"""`edge watch --seconds`: how far back each answer looks, as a person says it and as events tell it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edge_command import run

SCENE = "synthetic://?seconds=12&size=112x84"


def test_every_answer_looks_back_as_far_as_was_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "events.jsonl"

    assert run(monkeypatch, "watch", SCENE, "--ask", "Is there a red circle?", "--seconds", "3", "--out", out) == 0

    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(events) > 10
    for event in events:
        assert event["span"] == pytest.approx(event["end"] - event["start"])
        assert event["span"] >= min(3.0, event["end"])  # at the start there is no more yet
        assert event["question"] == "Is there a red circle? Answer yes or no."
    assert "of the last 3.5 s" in capsys.readouterr().out


def test_seconds_and_groups_at_once_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "watch", SCENE, "--seconds", "3", "--window", "4") == 2
    assert "Give one" in capsys.readouterr().err


def test_a_span_beyond_the_model_is_refused_with_the_longest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "watch", SCENE, "--seconds", "100000") != 0
    assert "The longest has" in " ".join(capsys.readouterr().err.split())
