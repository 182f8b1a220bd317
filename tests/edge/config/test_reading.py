"""Files as people write them, and as they mistype them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge.config
from edge.config.keys import Config
from edge.config.reading import MAX_BYTES, read_config
from edge.config.reference import reference
from edge.errors import BadConfig

FOLDER = Path(edge.config.__file__).parent
SECRETS = {"EDGE_FRONT_PASSWORD": "hunter2", "EDGE_TOKEN": "t0ken"}


def read(tmp_path: Path, text: str | bytes) -> Config:
    path = tmp_path / "edge.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config(path, SECRETS)


def test_the_example_is_read_and_keeps_its_secret() -> None:
    config = read_config(FOLDER / "example.yaml", SECRETS)
    front, yard = config.cameras.values()
    assert front.address == "rtsp://viewer:hunter2@192.168.1.20/live"
    assert (front.seconds, yard.seconds, yard.every) == (8.0, 8.0, 60.0)
    assert "hunter2" not in repr(config) + str(front) + repr(front)
    assert front.wanted().address == "rtsp://***@192.168.1.20/live"


def test_the_reference_is_up_to_date() -> None:
    """Made by `edge check-config --reference > edge/config/REFERENCE.md`."""
    assert (FOLDER / "REFERENCE.md").read_text() == reference()


def test_what_a_camera_says_goes_before_the_defaults(tmp_path: Path) -> None:
    cameras = "cameras:\n  a: {address: 'synthetic:', fps: 4}\n  b: {address: 'synthetic:'}"
    config = read(tmp_path, "defaults: {fps: 1, ask: [Who?]}\n" + cameras)
    assert [camera.fps for camera in config.cameras.values()] == [4, 1]
    assert all(camera.ask == ("Who?",) for camera in config.cameras.values())


BROKEN = {
    "": ["it is empty"],
    "- a": ["it is a list"],
    "hello": ["single value"],
    "model: {nme: x}": [":1: model.nme", "Is name meant?"],
    "modell: {}": [":1: modell", "Is model meant?"],
    "cameras:\n  a: {address: x, colour: red}": [":2: cameras.a.colour", "There are: "],
    "server: {port: 99999}\ncameras:\n  a: {fps: 0}": [
        ":1: server.port", ":3: cameras.a.fps", ":3: cameras.a.address: it is needed",
    ],
    "server: {host: 0.0.0.0}": [":1: server", "give a token"],
    "cameras:\n  a: {address: '{EDGE_NOWHERE}'}": ["cameras.a.address", "EDGE_NOWHERE is not in the environment"],
    "cameras:\n  'a b': {address: x}": ["cameras.a b"],
    "cameras:\n  a: {address: x}\n  a: {address: y}": [":3: ", "duplicate key"],
    "cameras:\n\ta: 1": [":2: "],
    "cameras: {a: {address: x, every: soon}}": ["'soon' is no time", "8s"],
    "cameras: {a: {address: x, seconds: .inf}}": ["seconds"],
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]": ["Aliases repeat too much"],
    "a: !!python/object:os.system x": ["there is no such key"],
    "{": [":1"],
}  # fmt: skip


@pytest.mark.parametrize("text, words", BROKEN.items(), ids=range(len(BROKEN)))
def test_every_mistake_is_told_with_its_line_and_what_to_do(text: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as error:
        read(tmp_path, text)
    for word in words:
        assert word in str(error.value)
    assert "edge.yaml" in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    for content, word in ((b"\xff\xfe", "UTF-8"), (b"#" * (MAX_BYTES + 1), "at most")):
        with pytest.raises(BadConfig, match=word):
            read(tmp_path, content)
    with pytest.raises(BadConfig, match="cannot be read"):
        read_config(tmp_path / "nowhere.yaml", {})
    with pytest.raises(BadConfig, match="cannot be read"):
        read_config(tmp_path, {})


def test_a_secret_never_shows_in_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as error:
        read(tmp_path, "server: {port: '{EDGE_FRONT_PASSWORD}'}\ncameras: {a: {address: x, fps: '{EDGE_TOKEN}'}}")
    assert "hunter2" not in str(error.value) and "t0ken" not in str(error.value)


@given(text=st.text(max_size=200))
def test_nothing_but_a_configuration_or_a_mistake_comes_of_any_text(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with suppress(BadConfig):
        read(tmp_path_factory.mktemp("any"), text.encode("utf-8", "replace"))
