"""What may not be written over: the same file under any name, and anything in a folder that is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from edge_command import run

from edge.cli.terminal import USAGE
from edge.commands.outputs import check_outputs, source_path, variant_outputs
from edge.errors import OutputRefused
from edge.hub import POCKET, model_path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip, a folder of pictures, and links of each kind to both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    (tmp_path / "pictures" / "june").mkdir(parents=True)
    (tmp_path / "pictures" / "june" / "1.jpg").write_bytes(b"a picture")
    (tmp_path / "soft.mp4").symlink_to("clip.mp4")
    os.link(tmp_path / "clip.mp4", tmp_path / "hard.mp4")
    os.link(tmp_path / "pictures" / "june" / "1.jpg", tmp_path / "hard.jpg")
    (tmp_path / "album").symlink_to("pictures")
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").symlink_to("../blob")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "read"),
    [
        pytest.param("clip.mp4", "clip.mp4", id="the same name"),
        pytest.param("./pictures/../clip.mp4", "clip.mp4", id="another spelling"),
        pytest.param("{place}/clip.mp4", "clip.mp4", id="an absolute path"),
        pytest.param("clip.mp4", "file:{place}/clip.mp4", id="an address"),
        pytest.param("clip.mp4", "file://{place}/cl%69p.mp4", id="an escaped address"),
        pytest.param("soft.mp4", "clip.mp4", id="a link to it"),
        pytest.param("clip.mp4", "soft.mp4", id="what the source links to"),
        pytest.param("hard.mp4", "clip.mp4", id="a hard link"),
        pytest.param("pictures", "pictures", id="the folder itself"),
        pytest.param("pictures/new.mp4", "pictures", id="a new file in the folder"),
        pytest.param("pictures/june/1.jpg", "pictures", id="a file deep in the folder"),
        pytest.param("album/new.mp4", "pictures", id="a new file in the folder, through a link"),
        pytest.param("pictures/new.mp4", "album", id="a new file in the folder, read through a link"),
        pytest.param("hard.jpg", "pictures", id="a hard link to a file of the folder"),
        pytest.param("blob", "model", id="what a file of the folder links to"),
    ],
)
def test_no_output_is_an_input_under_any_name(place: Path, output: str, read: str) -> None:
    source = source_path(read.format(place=place))
    with pytest.raises(OutputRefused, match=r"--out .* the source .*Choose another place"):
        check_outputs({"--out": Path(output.format(place=place))}, {"the source": source})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("new.mp4", "new.mp4"),
        ("new.mp4", "./pictures/../new.mp4"),
        ("album/new.mp4", "pictures/new.mp4"),
        ("clip.mp4", "soft.mp4"),
        ("clip.mp4", "hard.mp4"),
    ],
)
def test_no_two_outputs_are_the_same_file(place: Path, one: str, other: str) -> None:
    with pytest.raises(OutputRefused, match=r"--out .* and --overlay .* are the same file"):
        check_outputs({"--out": Path(one), "--overlay": Path(other)}, {})


@pytest.mark.parametrize(
    ("out", "overlay", "read"),
    [
        ("new.jsonl", "new.mp4", "clip.mp4"),
        ("new.jsonl", None, "pictures"),
        ("pictures-2/new.jsonl", None, "pictures"),
        ("clip.mp4.jsonl", "hard.jpg", "clip.mp4"),
        ("/dev/null", "/dev/null", "clip.mp4"),
        ("clip.mp4", None, "rtsp://camera/clip.mp4"),
        ("clip.mp4", None, "camera:0"),
        ("clip.mp4", None, "gopher://x"),
    ],
)
def test_everything_else_is_allowed(place: Path, out: str, overlay: str | None, read: str) -> None:
    chosen = {"--out": Path(out), "--overlay": None if overlay is None else Path(overlay)}

    check_outputs(chosen, {"the source": source_path(read), "the model": POCKET})


def test_a_model_is_found_without_being_fetched(place: Path) -> None:
    assert model_path("pocket") == POCKET
    assert model_path("model") == Path("model")
    assert model_path("Qwen/Qwen2-VL-2B-Instruct").name == "models--Qwen--Qwen2-VL-2B-Instruct"


def test_what_a_stopped_run_keeps_may_not_be_the_folder_it_calibrates_with(place: Path) -> None:
    outputs = variant_outputs(Path("small"), [Path("small-gptq"), Path("small-awq")])
    assert {path.name for path in outputs.values()} == {
        "small-gptq", "small-gptq-errors.png", "small-awq", "small-awq-errors.png", "small.calibration",
    }  # fmt: skip
    (place / "small.calibration").mkdir()

    with pytest.raises(OutputRefused, match="--calibrate"):
        check_outputs(outputs, {"--calibrate": Path("small.calibration")})


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("watch clip.mp4 --overlay clip.mp4", id="an overlay that is the source"),
        pytest.param("watch clip.mp4 --out hard.mp4", id="events into the source"),
        pytest.param("watch pictures --out pictures/events.jsonl", id="events into a folder of pictures"),
        pytest.param("watch synthetic: --out new --overlay new", id="two outputs that are one"),
        pytest.param("watch synthetic: --model model --overlay blob", id="an overlay that is a model's file"),
        pytest.param("watch synthetic: --overlay clip.mp4 --fps 0", id="a rate that means nothing"),
        pytest.param("watch synthetic: --overlay clip.mp4 --window 0", id="a window that means nothing"),
        pytest.param("watch synthetic: --overlay clip.mp4 --every -1", id="a pause that means nothing"),
        pytest.param("watch synthetic: --overlay clip.mp4 --duration -1", id="a duration that means nothing"),
        pytest.param("watch synthetic: --overlay clip.mp4 --ground person,", id="a label that means nothing"),
        pytest.param("watch synthetic: --overlay clip.mp4 --threads 0", id="no threads"),
        pytest.param("demo --model model --folder model", id="a demo into a model's folder"),
        pytest.param("profile --clip clip.mp4 --html soft.mp4", id="a page that is the clip"),
        pytest.param("profile --trace model/model.safetensors --model model", id="a trace that is a model's file"),
        pytest.param("profile --html new --trace new", id="a page that is the trace"),
        pytest.param("profile --html pictures", id="a page that is a folder"),
        pytest.param("quantize model model/int4", id="a variant into its source"),
        pytest.param("quantize pocket pictures/int4 --calibrate pictures", id="a variant into what it is made with"),
    ],
)
def test_a_refused_command_leaves_every_file_as_it_was(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    before = contents(place)

    assert run(monkeypatch, *words.split()) == USAGE

    assert contents(place) == before
    assert "Traceback" not in capsys.readouterr().err
