"""A folder that has its name only when all of it is written.

It is filled under another name, `<folder>.partial`, with the manifest as its last file; then everything is forced to
the disk and the folder is renamed. So a folder that has its name is finished, whatever was killed and whenever; a
partial one is kept, for the next run to go on with.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from quantize.errors import OutputExists, OutputFailed
from quantize.manifest import MANIFEST
from quantize.output import writing


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `path` when all went well, and stays as `<path>.partial` otherwise.

    The next run is given that partial folder, less its manifest. Raises OutputExists when `path` is there already,
    and OutputFailed when the folder cannot be written or another run is filling it.
    """
    partial = partial_folder(path)
    _refuse_existing(path)
    with writing(partial):
        partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial):
        _remove_manifest(partial)
        try:
            yield partial
            with writing(path):
                _sync_all(partial)
                _refuse_existing(path)
                partial.rename(path)
                _sync(path.parent)
        except BaseException:
            _remove_manifest(partial)
            raise


def partial_folder(path: Path) -> Path:
    """Where it is filled."""
    return path.with_name(f"{path.name}.partial")


def keep_only(partial: Path, names: Collection[str]) -> None:
    """Removes what a run that was stopped left in a partial folder, but for the files of these names.

    It may have written other files than this one will: a shard of its own, for instance, that nothing overwrites.
    """
    for path in sorted(partial.iterdir()):
        if path.name not in names:
            with writing(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_manifest(partial: Path) -> None:
    """A folder without its name must not say that it is whole."""
    with writing(partial):
        (partial / MANIFEST).unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputExists(f"{path} is there already. Choose another name, or remove it first.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the system lets go when the process ends, however it ends."""
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputFailed(f"Another run is writing {folder}. Wait for it, or choose another name.") from None
        yield
    finally:
        os.close(handle)


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
