"""The tensors of a Hugging Face folder, read one at a time in bounded memory.

A folder is `model.safetensors`, or several files ("shards") and the index that says which tensor is in which.
Names are the files' own. Types and shapes of all tensors are known from the files' headers, without reading a number.
Knows no model and no quantization. Writing is `shard_writer.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from quantize.errors import AdapterNotMerged, CheckpointUnreadable

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
ADAPTER_PREFIX = "base_model.model."

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


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file's header says of a tensor: its type and shape, without the numbers."""

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

    Raises CheckpointUnreadable naming the file or the tensor, AdapterNotMerged for what PEFT saved.
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

    def unread_files(self) -> list[Path]:
        """Weight files of the folder that no tensor is read from."""
        return sorted({*self.folder.glob("*.safetensors")} - {*self.paths()})

    def tensor(self, name: str) -> Tensor:
        """Mapped from the file: its bytes come into memory as they are used."""
        if name not in self.files:
            raise CheckpointUnreadable(f"{self.folder} holds no tensor {name!r}. It is another model, or incomplete.")
        path = self.files[name]
        with readable(path):
            if self._open is None or self._open[0] != path or self._left <= 0:
                self._open = None
                self._open = path, safe_open(path, framework="pt")
                self._left = self.mapped
            self._left -= self.stored[name].nbytes
            tensor: Tensor = self._open[1].get_tensor(name)
            return tensor

    def _headers(self, path: Path) -> Iterator[tuple[str, Stored]]:
        with readable(path), safe_open(path, framework="pt") as file:
            present = set(file.keys())
            for name in (name for name, where in self.files.items() if where == path):
                if name not in present:
                    raise CheckpointUnreadable(
                        f"{path} lacks the tensor {name!r} that {INDEX} says it holds. Fetch both again."
                    )
                part = file.get_slice(name)
                dtype = part.get_dtype()
                if dtype not in DTYPES:
                    raise CheckpointUnreadable(f"{path}: tensor {name!r} is of type {dtype}, which is no weight's.")
                yield name, Stored(DTYPES[dtype], tuple(part.get_shape()))


def _files(folder: Path) -> dict[str, Path]:
    refuse_adapter(folder)
    index = folder / INDEX
    if index.exists():
        placed = _read_index(index)
    else:
        path = _present(folder, SINGLE)
        with readable(path), safe_open(path, framework="pt") as file:
            placed = dict.fromkeys(file.keys(), SINGLE)
    refuse_adapter(folder, placed)
    paths = {name: _present(folder, name) for name in sorted(set(placed.values()))}
    return {name: path for file, path in paths.items() for name, where in placed.items() if where == file}


def refuse_adapter(folder: Path, names: Iterable[str] = ()) -> None:
    """Raises AdapterNotMerged for a folder that PEFT saved: an adapter alone, or a model with one still in it."""
    if any(name.startswith(ADAPTER_PREFIX) for name in names):
        what = f"holds tensors named {ADAPTER_PREFIX}*"
    elif (folder / ADAPTER).exists() and not any((folder / name).exists() for name in (SINGLE, INDEX)):
        what = f"holds {ADAPTER} and no model"
    else:
        return
    raise AdapterNotMerged(
        f"{folder} {what}: a PEFT adapter that is not merged into its model. Merge it first, where BASE is the model "
        "it was trained on, ADAPTER its folder and OUT a new one (pip install peft transformers torchvision):\n"
        "    from peft import PeftModel\n"
        "    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration\n"
        "    model = Qwen2VLForConditionalGeneration.from_pretrained(BASE, dtype='auto')\n"
        "    PeftModel.from_pretrained(model, ADAPTER).merge_and_unload().save_pretrained(OUT)\n"
        "    AutoProcessor.from_pretrained(BASE).save_pretrained(OUT)"
    )


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
def readable(path: Path, advice: str = "Fetch it again.") -> Iterator[None]:
    """Turns what is wrong with a safetensors file into CheckpointUnreadable with what to do."""
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise CheckpointUnreadable(f"{path} is not a readable safetensors file: {error}. {advice}") from None
