"""What a user installs: the three packages, the embedded model, nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Files of the wheel and their sizes."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: setuptools writes beside what it builds
    for name in ("edge", "quantize", "stream", "benchmarks", "tests"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("qwen2vl_edge-*.whl")
    assert wheel.stat().st_size < 25e6
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def test_it_holds_three_packages_and_the_console_script(contents: dict[str, int]) -> None:
    tops = {name.partition("/")[0] for name in contents if ".dist-info" not in name}
    assert tops == {"edge", "quantize", "stream"}
    assert any(name.endswith("entry_points.txt") for name in contents)


def test_the_embedded_model_and_the_types_travel_along(contents: dict[str, int]) -> None:
    files = ("config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json", "generation_config.json")
    for file in files:
        assert contents[f"edge/pocket/model/{file}"] > 0
    for package in ("edge", "quantize", "stream"):
        assert f"{package}/py.typed" in contents


def test_pages_find_what_they_are_made_of(contents: dict[str, int]) -> None:
    assert contents["edge/daemon/page/index.html"] > 0
    assert contents["edge/config/example.yaml"] > 0
    for file in ("page.html.j2", "page.css.j2", "plots.svg.j2"):
        assert contents[f"edge/reports/{file}"] > 0
