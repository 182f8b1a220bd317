"""Reading and writing a folder's tensors: in bounded memory, with names as in the file, and with errors that help."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from quantize.checkpoint import DTYPES, INDEX, SINGLE, Checkpoint, Stored
from quantize.errors import AdapterNotMerged, CheckpointUnreadable, OutputFailed
from quantize.shard_writer import ShardWriter, weight_files

TENSORS = {
    "visual.patch_embed.proj.weight": torch.randn(4, 3, 2, 2, 2).bfloat16(),
    "model.layers.0.mlp.up_proj.g_idx": torch.arange(7, dtype=torch.int32),
    "model.norm.weight": torch.randn(9, generator=torch.Generator().manual_seed(0)).half(),
    "model.layers.0.mlp.up_proj.weight_shape": torch.tensor([8, 64]),
    "odd": torch.arange(3, dtype=torch.uint8),
    "turned": torch.arange(12.0).reshape(3, 4).T,
    "corner": torch.arange(12.0).reshape(3, 4)[:1, 2:3],
    "number": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
}


def stored(tensors: dict[str, Tensor]) -> dict[str, Stored]:
    return {name: Stored.of(tensor) for name, tensor in tensors.items()}


def write(folder: Path, tensors: dict[str, Tensor], **options: int) -> None:
    with ShardWriter(folder, stored(tensors), **options) as writer:
        for name in sorted(tensors, reverse=True):  # in any order
            writer.write(name, tensors[name])


def test_what_is_written_comes_back_through_the_library_and_through_us(tmp_path: Path) -> None:
    write(tmp_path, TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == [SINGLE]
    checkpoint = Checkpoint(tmp_path)
    for found in (load_file(tmp_path / SINGLE), {name: checkpoint.tensor(name) for name in checkpoint.files}):
        assert set(found) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    with safe_open(tmp_path / SINGLE, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_names_types_and_shapes_are_known_without_the_numbers(tmp_path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / SINGLE)
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.stored == stored(TENSORS)
    assert checkpoint.stored["model.norm.weight"].nbytes == 18


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_type_is_written_as_the_library_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(5).to(dtype)
    write(tmp_path, {"a": torch.ones(1, dtype=torch.uint8), "b": tensor})
    assert torch.equal(load_file(tmp_path / SINGLE)["b"], tensor)


def test_every_tensor_begins_where_its_type_may_be_mapped(tmp_path: Path) -> None:
    write(tmp_path, TENSORS)
    content = (tmp_path / SINGLE).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, tensor in TENSORS.items():
        assert (8 + length + header[name]["data_offsets"][0]) % tensor.dtype.itemsize == 0


def test_large_checkpoints_are_divided_into_shards_with_an_index(tmp_path: Path) -> None:
    tensors = {name: torch.full((size,), float(size)) for name, size in [("a", 10), ("b", 10), ("c", 50), ("d", 5)]}
    write(tmp_path, tensors, shard_bytes=100)
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*names, INDEX]
    assert weight_files(stored(tensors), shard_bytes=100) == [*names, INDEX]
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 75 * 4
    assert index["weight_map"] == {"a": names[0], "b": names[0], "c": names[1], "d": names[2]}
    checkpoint = Checkpoint(tmp_path)
    assert [path.name for path in checkpoint.paths()] == names
    assert {name: len(checkpoint.tensor(name)) for name in checkpoint.files} == {"a": 10, "b": 10, "c": 50, "d": 5}


def test_a_checkpoint_that_just_fits_is_one_file(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.zeros(10), "b": torch.zeros(10)}, shard_bytes=80)
    assert [path.name for path in tmp_path.iterdir()] == [SINGLE] == weight_files({"a": Stored(torch.float32, (20,))})


def test_files_that_no_tensor_is_read_from_are_known(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.zeros(10)})
    assert Checkpoint(tmp_path).unread_files() == []
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    assert [path.name for path in Checkpoint(tmp_path).unread_files()] == ["model-00001-of-00002.safetensors"]


@pytest.mark.parametrize(
    "name, tensor",
    [("b", torch.zeros(3)), ("a", torch.zeros(4)), ("a", torch.zeros(3).half())],
    ids=["unknown", "shape", "type"],
)
def test_a_tensor_that_was_not_announced_so_is_refused(tmp_path: Path, name: str, tensor: Tensor) -> None:
    with (
        pytest.raises(ValueError, match=rf"{name} came as .*announced"),
        ShardWriter(tmp_path, {"a": Stored(torch.float32, (3,))}) as writer,
    ):
        writer.write(name, tensor)


def test_a_tensor_that_comes_twice_or_never_is_told(tmp_path: Path) -> None:
    one, two = torch.ones(2), torch.zeros(2)
    with (
        pytest.raises(ValueError, match="one came as"),
        ShardWriter(tmp_path, stored({"one": one, "two": two})) as writer,
    ):
        writer.write("one", one)
        writer.write("one", one)
    with (
        pytest.raises(ValueError, match="1 tensors never came, first 'two'"),
        ShardWriter(tmp_path, stored({"one": one, "two": two})) as writer,
    ):
        writer.write("one", one)


def resident() -> int:
    """MiB of this process in memory, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def test_copying_a_checkpoint_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    tensors = {str(index): torch.full((2 << 20,), index, dtype=torch.float16) for index in range(16)}  # 4 MiB each
    write(tmp_path, tensors)
    checkpoint = Checkpoint(tmp_path, mapped=1)
    before, most = resident(), 0
    with ShardWriter(tmp_path / "target", checkpoint.stored) as writer:
        for name in checkpoint.files:
            writer.write(name, checkpoint.tensor(name))
            most = max(most, resident())
    assert most - before < 24, "a tensor or two, and what reading and writing take; not all sixteen"
    copied = load_file(tmp_path / "target" / SINGLE)
    assert all(torch.equal(copied[name], tensor) for name, tensor in tensors.items())


def test_a_folder_without_weights_says_what_a_model_is(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointUnreadable, match=r"lacks model.safetensors.*\.bin files must be converted"):
        Checkpoint(tmp_path)


def test_an_adapter_that_is_not_merged_is_named_with_how_to_merge_it(tmp_path: Path) -> None:
    write(tmp_path, {"base_model.model.lm_head.weight": torch.zeros(1)})
    with pytest.raises(AdapterNotMerged, match=r"(?s)base_model\.model\.\*: .*\(BASE.*merge_and_unload\(\)"):
        Checkpoint(tmp_path)
    (tmp_path / SINGLE).rename(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterNotMerged, match=r"(?s)holds adapter_config\.json and no model.*merge_and_unload"):
        Checkpoint(tmp_path)


def test_a_merged_model_beside_what_is_left_of_its_adapter_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"lm_head.weight": torch.zeros(1)})
    (tmp_path / "adapter_config.json").write_text("{}")
    assert list(Checkpoint(tmp_path).files) == ["lm_head.weight"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.zeros(30), "b": torch.zeros(30)}, shard_bytes=100)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointUnreadable, match=r"lacks model-00002-of-00002.safetensors\. Fetch"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 40, 300])
def test_a_file_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    write(tmp_path, {"a": torch.zeros(100)})
    os.truncate(tmp_path / SINGLE, keep)
    with pytest.raises(CheckpointUnreadable, match=r"model\.safetensors is not a readable safetensors file"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', '{"weight_map": null}', '"\udc80"'],
)
def test_an_index_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CheckpointUnreadable, match=r"index\.json is not a readable index: .* Fetch it again"):
        Checkpoint(tmp_path)


def test_an_index_cannot_point_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "outside.safetensors")
    (tmp_path / "inside" / INDEX).write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(CheckpointUnreadable, match="lacks"):
        Checkpoint(tmp_path / "inside")


def test_an_index_that_disagrees_with_its_shards_is_told(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}))
    with pytest.raises(CheckpointUnreadable, match="lacks the tensor 'b'"):
        Checkpoint(tmp_path)


def test_a_tensor_that_is_not_there_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"a": torch.zeros(1)})
    with pytest.raises(CheckpointUnreadable, match="holds no tensor 'b'"):
        Checkpoint(tmp_path).tensor("b")


def test_a_disk_too_small_is_told_before_any_number_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputFailed, match=r"model\.safetensors cannot be written: No space left .* Free some space"):
        ShardWriter(tmp_path, {"a": Stored(torch.float32, (3,))})


class FullDisk:
    """A file on a disk that has no room left."""

    name = "model.safetensors"

    def seek(self, offset: int) -> None: ...

    def write(self, content: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None: ...


def test_a_disk_that_fills_up_while_writing_is_told(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, {"a": Stored(torch.float32, (3,))})
    writer.files[SINGLE].close()
    writer.files[SINGLE] = FullDisk()
    with pytest.raises(OutputFailed, match="No space left"), writer:
        writer.write("a", torch.zeros(3))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match=r"gone/model\.safetensors cannot be written: No such file"):
        ShardWriter(tmp_path / "gone", {"a": Stored(torch.float32, (3,))})


def test_no_permission_is_told_with_the_folder_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, mode: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OutputFailed, match=r"Permission denied.*Choose a folder that you may write to"):
        ShardWriter(tmp_path, {"a": Stored(torch.float32, (3,))})
