"""The manifest of a quantized model folder: what was made of which model and how, with the hash of every file.

`manifest.json` is the last file of a folder to be written; `atomic_folder.py` says how the folder comes to be whole.
Knows hashes and JSON; no tensors, no file formats.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from quantize.errors import ArtifactDamaged, BadVariant, FormatUnknown
from quantize.output import writing
from quantize.variant import Variant

MANIFEST = "manifest.json"
SCHEMA = 1
AGAIN = "Fetch the folder again, or export the model again."


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the methods looked at."""

    kind: str  # "drawn scenes", "clips and pictures"
    num_samples: int
    seed: int
    sha256: str | None = None  # of the samples as the model takes them, one after another


@dataclass(frozen=True, slots=True)
class FileRecord:
    sha256: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    base: str  # the model that was quantized: a repository's name, or a folder's
    preset: str
    method: str
    format: str
    layers: Mapping[str, Variant]  # the quantized layers, by their names in the files
    tool: str  # name and version of the program that wrote it
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    kept: tuple[str, ...] = ()  # linear layers that stayed as they were
    calibration: Calibration | None = None
    errors: Mapping[str, float | None] = field(default_factory=dict)  # by layer, relative; None: not a number
    files: Mapping[str, FileRecord] = field(default_factory=dict)  # every file of the folder but this one

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "tool": self.tool,
            "base": self.base,
            "preset": self.preset,
            "method": self.method,
            "options": dict(self.options),
            "format": self.format,
            "layers": {name: str(variant) for name, variant in self.layers.items()},
            "kept": list(self.kept),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "errors": {name: _finite(error) for name, error in self.errors.items()},
            "files": {name: asdict(file) for name, file in self.files.items()},
        }

    @classmethod
    def from_dict(cls, found: Any) -> Self:
        """Raises FormatUnknown for another version, ArtifactDamaged for what is missing or of the wrong type."""
        if _get(found, "schema", int) != SCHEMA:
            raise FormatUnknown(
                f"{MANIFEST} is of version {found['schema']}, this program reads {SCHEMA}. "
                "Use the program that wrote it, or a newer one."
            )
        calibration = _get(found, "calibration", dict, type(None))
        return cls(
            base=_get(found, "base", str),
            preset=_get(found, "preset", str),
            method=_get(found, "method", str),
            format=_get(found, "format", str),
            layers={name: _variant(text) for name, text in _table(found, "layers", str).items()},
            tool=_get(found, "tool", str),
            options=_get(found, "options", dict),
            kept=tuple(_list(found, "kept", str)),
            calibration=None if calibration is None else _calibration(calibration),
            errors=_table(found, "errors", float, int, type(None)),
            files={_inside(name): _file_record(file) for name, file in _table(found, "files", dict).items()},
        )

    def write(self, folder: Path) -> None:
        """Raises OutputFailed."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        with writing(folder / MANIFEST):
            (folder / MANIFEST).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ArtifactDamaged and FormatUnknown."""
        path = folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactDamaged(
                f"{folder} has no {MANIFEST}: its export was not finished, or another program wrote it."
            ) from None
        except OSError as error:
            raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise ArtifactDamaged(f"{path} is not JSON: {error}. {AGAIN}") from None
        return cls.from_dict(found)


def hash_files(folder: Path) -> dict[str, FileRecord]:
    """Every file of the folder but the manifest, by its name relative to the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _hashed(path) for path in paths}


def hash_problems(folder: Path) -> list[str]:
    """What is wrong with an artifact's files, one line each; nothing when it is whole.

    Files that the manifest does not know do no harm and are not told. Raises ArtifactDamaged and FormatUnknown
    when there is no manifest to go by.
    """
    files = Manifest.read(folder).files
    return [problem for name, file in files.items() if (problem := _problem(folder / name, name, file))]


def _problem(path: Path, name: str, file: FileRecord) -> str | None:
    try:
        if not path.is_file():
            return f"{name} is missing"
        if (found := path.stat().st_size) != file.nbytes:
            return f"{name} has {found} bytes, not {file.nbytes}"
        if _hashed(path).sha256 != file.sha256:
            return f"{name} has the right size but other bytes than were written"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None


def _hashed(path: Path) -> FileRecord:
    with path.open("rb") as file:
        return FileRecord(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None


def _get(found: Any, key: str, *kinds: type) -> Any:
    """found[key], which must be exactly of one of these types (True is no number)."""
    if type(found) is not dict or key not in found:
        raise ArtifactDamaged(f"{MANIFEST} says nothing of {key!r}. {AGAIN}")
    return _checked(found[key], key, *kinds)


def _table(found: Any, key: str, *kinds: type) -> dict[str, Any]:
    return {name: _checked(value, f"{key}.{name}", *kinds) for name, value in _get(found, key, dict).items()}


def _list(found: Any, key: str, *kinds: type) -> list[Any]:
    return [_checked(value, f"{key}.{place}", *kinds) for place, value in enumerate(_get(found, key, list))]


def _checked(value: Any, where: str, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise ArtifactDamaged(f"{MANIFEST}: {where!r} is {value!r}, which is not {_names(kinds)}. {AGAIN}")
    return value


def _names(kinds: tuple[type, ...]) -> str:
    return " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)


def _variant(text: str) -> Variant:
    try:
        return Variant.parse(text)
    except BadVariant as error:
        raise ArtifactDamaged(f"{MANIFEST}: {error} {AGAIN}") from None


def _calibration(found: Any) -> Calibration:
    return Calibration(
        _get(found, "kind", str),
        _get(found, "num_samples", int),
        _get(found, "seed", int),
        _get(found, "sha256", str, type(None)),
    )


def _file_record(found: Any) -> FileRecord:
    return FileRecord(_get(found, "sha256", str), _get(found, "nbytes", int))


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ArtifactDamaged(f"{MANIFEST} names a file outside its folder: {name!r}. {AGAIN}")
    return name
