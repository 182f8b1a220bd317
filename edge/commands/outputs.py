"""Nothing that is written may be anything that is read, or the same file twice: asked before anything is opened.

The same file may be spelled in many ways: with links, `..`, or another case. Files that exist are compared by what they
are, names of files to come by where they would lie.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from edge.errors import OutputRefused
from stream.errors import StreamError
from stream.sources.address import parse


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Both by what people call them: {"--out": path}, {"the source": path}; None: not asked for, or no file.

    An output may also not lie in a folder that is read. Raises OutputRefused; opens and changes nothing.
    """
    asked = {option: path for option, path in outputs.items() if path is not None}
    for option, path in asked.items():
        for name, source in inputs.items():
            if source is not None and _is_of(path, source):
                where = "is" if _is_same(path, source) else "lies in, or is a file of,"
                raise OutputRefused(f"{option} {path} {where} {name} ({source}). Choose another place.")
    for (one, path), (other, second) in combinations(asked.items(), 2):
        if _is_same(path, second) and not _is_device(path):
            raise OutputRefused(f"{one} {path} and {other} {second} are the same file. Choose another place for one.")


def source_path(address: str) -> Path | None:
    """The file or folder that an address means; None for a camera, the network, or no address at all."""
    try:
        where = parse(address)
    except StreamError:
        return None  # opening it will say what is wrong
    return Path(where.target) if where.scheme in ("file", "folder") else None


def variant_outputs(out: Path, folders: Iterable[Path]) -> dict[str, Path]:
    """What `edge quantize` writes: for each format a folder and a picture of its errors; what a stopped run keeps."""
    from quantize.calibration_store import store_folder  # which needs torch

    found = {f"the folder of {folder.name}": folder for folder in folders}
    found |= {f"the picture of {folder.name}": folder.with_name(f"{folder.name}-errors.png") for folder in folders}
    return {**found, "what a stopped run keeps": store_folder(out)}


def _is_of(output: Path, source: Path) -> bool:
    if _is_same(output, source) or not source.is_dir():
        return _is_same(output, source)
    lies_inside = Path(os.path.realpath(source)) in Path(os.path.realpath(output)).parents
    return lies_inside or (os.path.exists(output) and any(_is_same(output, file) for file in _files(source)))


def _is_same(one: Path, other: Path) -> bool:
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _is_device(path: Path) -> bool:
    """/dev/null takes everything twice."""
    if not os.path.exists(path):
        return False
    mode = os.stat(path).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _files(folder: Path) -> Iterator[Path]:
    """Also those that a link brings in: a hub's folder holds links to the files."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)
