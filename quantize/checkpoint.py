"""The tensors of a Hugging Face folder: read one at a time, and written one at a time, in bounded memory.

Names are the file's own. Knows no model and no quantization; a folder is `model.safetensors`, or shards
and the index that names them.

Writing starts with what will be written, not with the numbers: a safetensors file begins with the place of every
tensor in it. So the files have their final names and size from the start (a disk that is too small says so then, and
not after hours), tensors may come in any order, and each goes to its place and is forgotten.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from quantize.errors import CheckpointUnreadable, OutputFailed

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = "model-{:05d}-of-{:05d}.safetensors"
SHARD_BYTES = 5_000_000_000

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor without its numbers."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Stored:
        return cls(tensor.dtype, tuple(tensor.shape))

    @property
    def nbytes(self) -> int:
        count = self.dtype.itemsize
        for length in self.shape:
            count *= length
        return count


class Checkpoint:
    """A folder's tensors, each read when it is asked for and gone when its reader drops it.

    Args:
        mapped: every page touched of an open file stays in memory, so a file is opened anew after this many bytes.

    Raises CheckpointUnreadable naming the file or the tensor.
    """

    def __init__(self, folder: Path, mapped: int = 256 << 20) -> None:
        self.folder = folder
        self.files = _files(folder)  # name of a tensor -> file, file by file
        self.stored = {name: stored for path in self.paths() for name, stored in self._headers(path)}
        self.mapped = mapped
        self._open: tuple[Path, Any] | None = None
        self._left = 0  # bytes to read before the open file is opened anew

    def paths(self) -> list[Path]:
        return list(dict.fromkeys(self.files.values()))

    def tensor(self, name: str) -> Tensor:
        """Mapped from the file: its bytes come into memory as they are used."""
        if name not in self.files:
            raise CheckpointUnreadable(f"{self.folder} holds no tensor {name!r}. It is another model, or incomplete.")
        path = self.files[name]
        with _readable(path):
            if self._open is None or self._open[0] != path or self._left <= 0:
                self._open = None
                self._open = path, safe_open(path, framework="pt")
                self._left = self.mapped
            self._left -= self.stored[name].nbytes
            tensor: Tensor = self._open[1].get_tensor(name)
            return tensor

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name in self.files:
            yield name, self.tensor(name)

    def _headers(self, path: Path) -> Iterator[tuple[str, Stored]]:
        with _readable(path), safe_open(path, framework="pt") as file:
            present = set(file.keys())
            for name in (name for name, where in self.files.items() if where == path):
                if name not in present:
                    raise CheckpointUnreadable(
                        f"{path} lacks the tensor {name!r} that {INDEX} says it holds. Fetch both again."
                    )
                part = file.get_slice(name)
                code = part.get_dtype()
                if code not in DTYPES:
                    raise CheckpointUnreadable(f"{path}: tensor {name!r} is of type {code}, which is no weight's.")
                yield name, Stored(DTYPES[code], tuple(part.get_shape()))


def _files(folder: Path) -> dict[str, Path]:
    index = folder / INDEX
    if index.exists():
        placed = _read_index(index)
    else:
        path = _present(folder, SINGLE)
        with _readable(path), safe_open(path, framework="pt") as file:
            placed = dict.fromkeys(file.keys(), SINGLE)
    paths = {name: _present(folder, name) for name in sorted(set(placed.values()))}
    return {name: path for file, path in paths.items() for name, where in placed.items() if where == file}


def _read_index(index: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(index.read_text())["weight_map"]
        if all(isinstance(file, str) for file in found.values()):
            return found
        reason = "a file name is no text"
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        reason = repr(error)
    except OSError as error:
        reason = str(error)
    raise CheckpointUnreadable(f"{index} is not a readable index: {reason}. Fetch it again.")


def _present(folder: Path, name: str) -> Path:
    path = folder / name
    if path.parent != folder or not path.is_file():
        hint = "Fetch the missing file, or the whole folder again."
        if name == SINGLE:
            hint = f"A model is a folder with {SINGLE}, or with {INDEX} and its shards; .bin files must be converted."
        raise CheckpointUnreadable(f"{folder} lacks {name}. {hint}")
    return path


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise CheckpointUnreadable(f"{path} is not a readable safetensors file: {error}. Fetch it again.") from None


class ShardWriter:
    """Writes tensors into a folder, as one file, or as shards with an index.

    with ShardWriter(folder, {"lm_head.weight": Stored(torch.float16, (151936, 1536)), ...}) as writer:
        writer.write("lm_head.weight", tensor)

    Leaving the `with` checks that all have come. Raises OutputFailed when the files cannot be written.
    """

    def __init__(self, folder: Path, layout: Mapping[str, Stored], shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = folder
        self.layout = layout
        self.missing = set(layout)
        shards = _divide(layout, shard_bytes)
        names = [SINGLE] if len(shards) == 1 else [SHARD.format(i + 1, len(shards)) for i in range(len(shards))]
        self.weight_map = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        self.files: dict[str, BinaryIO] = {}
        self.places: dict[str, int] = {}
        try:
            for name, shard in zip(names, shards, strict=True):
                self._begin(name, shard)
        except BaseException:
            self._close()
            raise

    def write(self, name: str, tensor: Tensor) -> None:
        """Raises ValueError for a tensor that is not in the layout, or comes a second time."""
        if name not in self.missing or Stored.of(tensor) != self.layout[name]:
            raise ValueError(f"{name} came as {Stored.of(tensor)}; announced: {self.layout.get(name)}")
        file = self.files[self.weight_map[name]]
        with writing(Path(file.name)):
            file.seek(self.places[name])
            file.write(_bytes(tensor))
        self.missing.discard(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._close()

    def _begin(self, name: str, shard: Mapping[str, Stored]) -> None:
        """The file at its final size, with its header; the numbers are still zeros."""
        header, places, size = _header(shard)
        path = self.folder / name
        with writing(path):
            file = self.files[name] = path.open("wb")
            os.posix_fallocate(file.fileno(), 0, size)
            file.write(header)
        self.places |= places

    def _finish(self) -> None:
        if self.missing:
            raise ValueError(f"{len(self.missing)} tensors never came, first {min(self.missing)!r}")
        for file in self.files.values():
            with writing(Path(file.name)):
                file.flush()
        if len(self.files) > 1:
            index = {
                "metadata": {"total_size": sum(stored.nbytes for stored in self.layout.values())},
                "weight_map": self.weight_map,
            }
            with writing(self.folder / INDEX):
                (self.folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    def _close(self) -> None:
        for file in self.files.values():
            with writing(Path(file.name)):
                file.close()


def _divide(layout: Mapping[str, Stored], shard_bytes: int) -> list[dict[str, Stored]]:
    """Shards of at most so many bytes, in the order of the layout; a larger tensor has one for itself."""
    shards: list[dict[str, Stored]] = [{}]
    filled = 0
    for name, stored in layout.items():
        if shards[-1] and filled + stored.nbytes > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = stored
        filled += stored.nbytes
    return shards


def _header(shard: Mapping[str, Stored]) -> tuple[bytes, dict[str, int], int]:
    """The bytes before the tensors, where in the file each begins, and the size of the whole."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offsets: dict[str, int] = {}
    end = 0
    # Wide numbers first, so that every tensor begins where its type may be mapped.
    for name, stored in sorted(shard.items(), key=lambda item: -item[1].dtype.itemsize):
        offsets[name], end = end, end + stored.nbytes
        entries[name] = {
            "dtype": CODES[stored.dtype],
            "shape": list(stored.shape),
            "data_offsets": [offsets[name], end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + offset for name, offset in offsets.items()}, len(header) + end


def _bytes(tensor: Tensor) -> memoryview:
    tensor = tensor.detach().cpu().contiguous()
    # A single number cut out of a matrix is contiguous with whatever stride it has, and no view of bytes.
    return tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy().data


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says against writing `path` into OutputFailed with what to do."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror or error}. {_advice(error, path)}") from None


def _advice(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space or choose another disk, and start again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Choose a folder that you may write to, or change the permissions of {path.parent}."
    return "Check the disk, or choose another folder."
