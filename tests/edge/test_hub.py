"""From a name to a folder, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import edge
from edge.errors import ModelNotFound
from edge.hub import POCKET, find_model


def test_pocket_comes_with_the_package() -> None:
    assert find_model("pocket") == POCKET
    assert (POCKET / "model.safetensors").stat().st_size < 25e6


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert find_model(str(tmp_path)) == tmp_path


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    with pytest.raises(ModelNotFound, match="is a file"):
        find_model(str(tmp_path / "weights.bin"))


def test_a_name_that_is_nothing_says_what_was_looked_for() -> None:
    with pytest.raises(ModelNotFound, match=r"no folder .*nowhere.*no repository"):
        find_model("./nowhere/at/all")


def test_offline_says_which_folders_were_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFound, match=r"models--Qwen--Qwen2-VL-2B-Instruct") as caught:
        edge.load("Qwen/Qwen2-VL-2B-Instruct")
    assert str(Path("Qwen/Qwen2-VL-2B-Instruct").absolute()) in str(caught.value)


def test_a_repository_is_fetched_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, list[str]]] = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("edge.hub.snapshot_download", fetch)
    assert find_model("Qwen/Qwen2-VL-2B-Instruct") == tmp_path
    assert asked[0][0] == "Qwen/Qwen2-VL-2B-Instruct"
    assert "*.safetensors" in asked[0][1]
