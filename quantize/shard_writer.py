"""The tensors of a Hugging Face folder, written one at a time in bounded memory.

Writing starts with what will be written, not with the numbers: a safetensors file begins with the place of every
tensor in it. So the files have their final names and size from the start (a disk that is too small says so then, and
not after hours), tensors may come in any order, and each goes to its place and is forgotten.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import torch
from torch import Tensor

from quantize.checkpoint import DTYPES, INDEX, SINGLE, Stored
from quantize.output import writing

SHARD = "model-{:05d}-of-{:05d}.safetensors"
SHARD_BYTES = 5_000_000_000
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


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
        shards = _named_shards(layout, shard_bytes)
        self.weight_map = {tensor: name for name, shard in shards.items() for tensor in shard}
        self.files: dict[str, BinaryIO] = {}
        self.places: dict[str, int] = {}
        try:
            for name, shard in shards.items():
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


def weight_files(layout: Mapping[str, Stored], shard_bytes: int = SHARD_BYTES) -> list[str]:
    """The names of the files that a ShardWriter of this layout writes."""
    names = list(_named_shards(layout, shard_bytes))
    return names if len(names) == 1 else [*names, INDEX]


def _named_shards(layout: Mapping[str, Stored], shard_bytes: int) -> dict[str, dict[str, Stored]]:
    """The tensors of each file, by its name."""
    shards = _divide(layout, shard_bytes)
    names = [SINGLE] if len(shards) == 1 else [SHARD.format(i + 1, len(shards)) for i in range(len(shards))]
    return dict(zip(names, shards, strict=True))


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
            "dtype": DTYPE_NAMES[stored.dtype],
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
