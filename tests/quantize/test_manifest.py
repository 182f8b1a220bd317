"""A manifest says what an artifact is, and finds what was changed in it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.errors import ArtifactDamaged, FormatUnknown, OutputFailed
from quantize.manifest import MANIFEST, Calibration, FileRecord, Manifest, hash_files, hash_problems
from quantize.variant import BITS, GROUPS, Variant

variants = st.builds(Variant, st.sampled_from(BITS), st.sampled_from(GROUPS), st.booleans())
texts = st.text(max_size=8)
manifests = st.builds(
    Manifest,
    base=texts,
    preset=texts,
    method=texts,
    format=texts,
    tool=texts,
    options=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3),
    layers=st.dictionaries(texts, variants, max_size=3),
    kept=st.lists(texts, max_size=3).map(tuple),
    calibration=st.none() | st.builds(Calibration, texts, st.integers(), st.integers(), st.none() | texts),
    errors=st.dictionaries(texts, st.none() | st.floats(0, 1), max_size=3),
    files=st.dictionaries(st.sampled_from(["config.json", "a/b"]), st.builds(FileRecord, texts, st.integers(0))),
)
PLAIN = Manifest("Qwen/Qwen2-VL-2B-Instruct", "edge", "rtn", "gptq", {"lm_head": Variant(8, None)}, "edge 0.1.0")


def with_manifest(folder: Path) -> Path:
    """A small artifact."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "processor").mkdir()
    (folder / "processor" / "vocabulary.txt").write_text("one two")
    files = hash_files(folder)
    Manifest(**{**{name: getattr(PLAIN, name) for name in PLAIN.__slots__}, "files": files}).write(folder)
    return folder


@settings(max_examples=50)
@given(manifests)
def test_from_dict_undoes_to_dict_through_json(manifest: Manifest) -> None:
    assert Manifest.from_dict(json.loads(json.dumps(manifest.to_dict()))) == manifest


def test_write_and_read(tmp_path: Path) -> None:
    PLAIN.write(tmp_path)
    assert Manifest.read(tmp_path) == PLAIN
    found = json.loads((tmp_path / MANIFEST).read_text())
    assert found["schema"] == 1 and found["layers"] == {"lm_head": "int8-channel"}


def test_an_error_that_is_no_number_is_written_as_null(tmp_path: Path) -> None:
    fields = {name: getattr(PLAIN, name) for name in PLAIN.__slots__}
    Manifest(**{**fields, "errors": {"lm_head": float("nan")}}).write(tmp_path)
    assert "NaN" not in (tmp_path / MANIFEST).read_text()
    assert Manifest.read(tmp_path).errors == {"lm_head": None}


def test_a_folder_without_manifest_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ArtifactDamaged, match=r"has no manifest\.json: its export was not finished"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_manifest_that_is_not_json_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=r"manifest\.json is not JSON"):
        Manifest.read(tmp_path)


def test_a_manifest_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(ArtifactDamaged, match="cannot be read"):
        Manifest.read(tmp_path)


def test_another_version_is_told_before_anything_else_is_looked_at() -> None:
    with pytest.raises(FormatUnknown, match="is of version 2, this program reads 1"):
        Manifest.from_dict({"schema": 2})


@settings(max_examples=20)
@given(manifests, st.data())
def test_a_missing_key_is_named(manifest: Manifest, data: st.DataObject) -> None:
    found = manifest.to_dict()
    key = data.draw(st.sampled_from(sorted(found)))
    del found[key]
    with pytest.raises(ArtifactDamaged, match=f"says nothing of '{key}'"):
        Manifest.from_dict(found)


@pytest.mark.parametrize(
    "key, value, where",
    [
        ("schema", True, "schema"),
        ("base", 3, "base"),
        ("layers", [], "layers"),
        ("layers", {"lm_head": 4}, "layers.lm_head"),
        ("layers", {"lm_head": "int3"}, "'int3' is no variant"),
        ("kept", "lm_head", "kept"),
        ("kept", ["lm_head", None], "kept.1"),
        ("options", None, "options"),
        ("errors", {"lm_head": "small"}, "errors.lm_head"),
        ("errors", {"lm_head": True}, "errors.lm_head"),
        ("calibration", "video", "calibration"),
        ("calibration", {"kind": "video"}, "num_samples"),
        ("files", {"config.json": "abc"}, "files.config.json"),
        ("files", {"config.json": {"sha256": "abc", "nbytes": 1.0}}, "nbytes"),
        ("files", {"../secret": {"sha256": "abc", "nbytes": 1}}, "outside its folder: '../secret'"),
        ("files", {"/etc/passwd": {"sha256": "abc", "nbytes": 1}}, "outside its folder"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: Any, where: str) -> None:
    with pytest.raises(ArtifactDamaged, match=where.replace(".", r"\.")):
        Manifest.from_dict({**PLAIN.to_dict(), key: value})


@pytest.mark.parametrize("found", [None, [], "text", 1])
def test_json_that_is_no_manifest_is_told(found: Any) -> None:
    with pytest.raises(ArtifactDamaged, match="says nothing of 'schema'"):
        Manifest.from_dict(found)


def test_hashes_are_of_every_file_but_the_manifest(tmp_path: Path) -> None:
    files = hash_files(with_manifest(tmp_path / "x"))
    assert list(files) == ["config.json", "model.safetensors", "processor/vocabulary.txt"]
    assert files["config.json"] == FileRecord("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2)


def test_a_whole_artifact_has_no_problems_and_may_be_added_to(tmp_path: Path) -> None:
    folder = with_manifest(tmp_path / "x")
    (folder / "README.md").write_text("ours")
    assert hash_problems(folder) == []


def test_one_changed_byte_is_found(tmp_path: Path) -> None:
    folder = with_manifest(tmp_path / "x")
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[5000] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert hash_problems(folder) == ["model.safetensors has the right size but other bytes than were written"]


def test_truncation_and_missing_files_are_found(tmp_path: Path) -> None:
    folder = with_manifest(tmp_path / "x")
    os.truncate(folder / "model.safetensors", 10_239)
    (folder / "processor" / "vocabulary.txt").unlink()
    assert hash_problems(folder) == [
        "model.safetensors has 10239 bytes, not 10240",
        "processor/vocabulary.txt is missing",
    ]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_manifest(tmp_path / "x")
    whole = Path.open

    def broken(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "config.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return whole(self, *args, **options)

    monkeypatch.setattr(Path, "open", broken)
    assert hash_problems(folder) == ["config.json cannot be read: Input/output error"]


def test_a_manifest_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str, encoding: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputFailed, match=r"manifest\.json cannot be written: No space left"):
        PLAIN.write(tmp_path)
