"""`edge quantize --calibrate`, `--for` and `edge compare` as somebody with a file of conversations types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_prompts import write_prompts
from edge_command import run
from PIL import Image

from edge.cli.terminal import MODEL_FAILED, QUESTION_FAILED, USAGE, VARIANT_FAILED
from edge.commands.engine_presets import ENGINE_PRESETS, choose_preset
from edge.errors import OptionRefused
from edge.hub import POCKET
from quantize.manifest import Manifest


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six questions about drawn pictures, and among them two lines that calibration cannot use."""
    path = write_prompts(tmp_path_factory.mktemp("own"), num_pictures=3)
    lines = path.read_text().splitlines()
    lines[2:2] = ["{broken", json.dumps({"messages": [{"role": "user", "content": "Hello?"}]})]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def variant(prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made with these prompts; of the layers only some, for time."""
    out = tmp_path_factory.mktemp("made") / "small"
    few = ("--layer", r"visual.*=keep", "--layer", r"model\.layers\.[1-9].*=keep")
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, "quantize", "pocket", out, "--calibrate", prompts, "--for", "edge", *few) == 0
    return out


def test_calibration_shows_the_lines_of_the_file(variant: Path) -> None:
    made = Manifest.read(variant)
    assert made.calibration is not None
    assert (made.calibration.kind, made.calibration.num_samples) == ("conversations", 6)
    assert (made.preset, made.format) == ("edge", "gptq")


def test_lines_that_calibration_cannot_show_are_told_and_counted(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    (tmp_path / "small.calibration").write_text("no folder, so that it ends once the lines were read")
    assert run(monkeypatch, "quantize", "pocket", out, "--calibrate", prompts) == VARIANT_FAILED
    said = capsys.readouterr().err
    assert "line 3 is left out: it is no JSON" in said and "line 4 is left out: it shows no picture" in said
    assert f"{out}.partial" in said and "The same command goes on with it" in said and "rm -r" in said


def test_a_file_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "quantize", "pocket", tmp_path / "out", "--calibrate", tmp_path / "no.jsonl") != 0
    said = capsys.readouterr().err
    assert "no.jsonl" in said and "not finished" not in said
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_refused_leaves_nothing_to_speak_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "quantize", "pocket", tmp_path / "out", "--bits", 3) == VARIANT_FAILED
    assert "not finished" not in capsys.readouterr().err


def compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert run(monkeypatch, "compare", *words, "--device", "cpu", "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_comparison_scores_answers_boxes_and_expectations(
    prompts: Path, variant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "losses.png"
    found = compared(monkeypatch, capsys, "pocket", variant, "--data", prompts, "--picture", picture)
    assert found["examples"] == 7 and found["judged"] == {"yes_no_accuracy": 3, "box_iou": 3, "box_f1": 3}
    assert [each["where"] for each in found["left_out"]] == ["line 3"]
    assert found["source"]["scores"]["yes_no_accuracy"] >= 2 / 3 and found["source"]["scores"]["box_iou"] > 0.5
    figures = found["figures"]
    assert 0 < figures["kl_mean"] < 0.5 and 0.8 < figures["top1"] <= 1
    assert 1 <= figures["perplexity_source"] < 2 and 0 <= figures["same_text"] <= 1
    assert found["variant"]["weight_bytes"] < found["source"]["weight_bytes"]
    with Image.open(picture) as drawn:
        assert len(np.unique(np.asarray(drawn.convert("RGB")).reshape(-1, 3), axis=0)) > 50


def test_people_get_a_table_and_the_lines_that_were_left_out(
    prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "compare", "pocket", "pocket", "--data", prompts, "--samples", 4) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    for text in ("before: pocket", "yes or no: accuracy", "boxes: mean IoU", "perplexity", "line 3 is left out", "KL"):
        assert text in shown.err
    assert "4 examples were used, 1 left out" in shown.err


def test_without_data_drawn_scenes_are_asked_about_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "compare", POCKET, "pocket", "--samples", 3) == 0
    said = capsys.readouterr().err
    assert "no --data was given" in said and "was made for something else" in said
    assert "3 questions about drawn scenes" in said and "word for word: 100.0%" in said


def test_a_folder_of_pictures_without_captions_is_asked_about_and_not_scored(
    prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(monkeypatch, capsys, "pocket", "pocket", "--data", prompts.parent)
    assert found["examples"] == 3 and found["judged"] == {} and found["source"]["scores"] == {}
    assert found["figures"]["perplexity_source"] is None and found["figures"]["kl_mean"] == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("pocket", "pocket", "--data", "nowhere.jsonl"), QUESTION_FAILED, "there is no"),
        (("pocket", "random:2b-and-no-more"), MODEL_FAILED, "no shape of random weights"),
        (("pocket", "pocket", "--picture", "losses.doc"), USAGE, "name it .png"),
        (("pocket", "pocket", "--picture", "nowhere/losses.png"), USAGE, "there is no folder"),
        (("pocket", "pocket", "--samples", 0), USAGE, "--samples"),
    ],
)
def test_a_mistake_is_named(
    words: tuple[object, ...], code: int, says: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(monkeypatch, "compare", *words) == code
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said


@pytest.mark.parametrize("engine", ENGINE_PRESETS)
def test_every_engine_has_a_preset(engine: str) -> None:
    wanted = ENGINE_PRESETS[engine]
    chosen = {"preset": wanted.preset, "formats": (wanted.format,)}
    assert choose_preset(engine, None, None, "gptq", ()) == chosen
    assert choose_preset(engine, wanted.preset, wanted.format, "rtn", ()) == chosen


def test_what_was_asked_for_is_taken_where_no_engine_is_named() -> None:
    assert choose_preset(None, None, None, "gptq", ()) == {"preset": "edge", "formats": ("gptq",)}
    assert choose_preset(None, "int8", "gptq, awq", "hqq", ("visual.*=keep",)) == {
        "preset": "int8", "formats": ("gptq", "awq"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "preset", "format", "method", "rules", "says"),
    [
        ("ollama", None, None, "gptq", (), "there are edge, transformers, vllm"),
        ("vllm", "edge", None, "gptq", (), "takes --preset official, not edge"),
        ("edge", None, "awq", "gptq", (), "takes --format gptq, not awq"),
        ("transformers", None, None, "gptq", ("lm_head=int8-channel",), "leave --layer out"),
        ("transformers", None, None, "hqq", (), "takes symmetric numbers"),
        ("vllm", None, None, "awq", (), "takes symmetric numbers"),
    ],
)
def test_what_the_engine_would_not_load_is_refused(
    engine: str, preset: str | None, format: str | None, method: str, rules: tuple[str, ...], says: str
) -> None:
    with pytest.raises(OptionRefused, match=says):
        choose_preset(engine, preset, format, method, rules)
