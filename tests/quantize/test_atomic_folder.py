"""A folder has its name only when all of it is there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantize.atomic_folder import atomic_folder, keep_only
from quantize.errors import OutputExists, OutputFailed
from quantize.manifest import MANIFEST, Manifest

PLAIN = Manifest("Qwen/Qwen2-VL-2B-Instruct", "edge", "rtn", "gptq", {}, "edge 0.1.0")


def test_a_folder_gets_its_name_when_it_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "new" / "variant"
    with atomic_folder(path) as partial:
        assert partial == tmp_path / "new" / "variant.partial"
        (partial / "config.json").write_text("{}")
        PLAIN.write(partial)
        assert not path.exists()
    assert sorted(file.name for file in path.iterdir()) == ["config.json", MANIFEST]
    assert not partial.exists()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_already_is_never_touched(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "x")
    with pytest.raises(OutputExists, match="x is there already"), atomic_folder(tmp_path / "x"):
        pytest.fail("must not begin")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_appears_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputExists), atomic_folder(tmp_path / "x") as partial:
        PLAIN.write(partial)
        (tmp_path / "x").mkdir()
    assert list((tmp_path / "x").iterdir()) == []
    assert not (partial / MANIFEST).exists()


def test_a_failure_leaves_work_to_go_on_with_but_nothing_that_looks_finished(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "x") as partial:
        (partial / "model.safetensors").write_text("done")
        PLAIN.write(partial)
        raise RuntimeError
    assert not (tmp_path / "x").exists()
    assert [path.name for path in partial.iterdir()] == ["model.safetensors"]
    with atomic_folder(tmp_path / "x") as again:
        assert (again / "model.safetensors").read_text() == "done"
    assert (tmp_path / "x" / "model.safetensors").exists()


KILLED = """
import os, sys, torch
from pathlib import Path
from quantize.checkpoint import Stored
from quantize.shard_writer import ShardWriter
from quantize.atomic_folder import atomic_folder
with atomic_folder(Path(sys.argv[1])) as partial:
    with ShardWriter(partial, {"a": Stored(torch.float32, (3,)), "b": Stored(torch.float32, (3,))}) as writer:
        writer.write("a", torch.ones(3))
        os._exit(9)
"""


def test_a_run_that_is_killed_leaves_no_folder_of_that_name_and_the_next_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == 9
    assert not path.exists() and (tmp_path / "x.partial").is_dir()
    with atomic_folder(path) as partial:
        assert [file.name for file in partial.iterdir()] == ["model.safetensors"]


def test_a_run_killed_just_before_the_name_is_not_taken_for_finished_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "x.partial").mkdir()
    PLAIN.write(tmp_path / "x.partial")
    with atomic_folder(tmp_path / "x") as partial:
        assert list(partial.iterdir()) == []


def test_two_runs_do_not_fill_the_same_folder(tmp_path: Path) -> None:
    with (
        atomic_folder(tmp_path / "x"),
        pytest.raises(OutputFailed, match=r"Another run is writing .*x\.partial"),
        atomic_folder(tmp_path / "x"),
    ):
        pytest.fail("must not begin")


def test_a_full_disk_is_told_and_nothing_gets_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(OutputFailed, match=r"No space left on device\. Free some space"),
        atomic_folder(tmp_path / "x") as partial,
    ):
        PLAIN.write(partial)
    assert not (tmp_path / "x").exists() and not (partial / MANIFEST).exists()


def test_a_parent_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="cannot be written"), atomic_folder(tmp_path / "file" / "x"):
        pytest.fail("must not begin")


def test_what_a_stopped_run_left_goes_but_for_the_files_that_are_written_again(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "x") as partial:
        for name in ("model.safetensors", "model-00001-of-00002.safetensors", "folder/inside.txt"):
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text("old")
        (partial / "link").symlink_to(tmp_path)
        keep_only(partial, {"model.safetensors", "config.json"})
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["model.safetensors"]
    assert tmp_path.is_dir(), "a link is removed, not what it leads to"
