"""What the system says against writing a file or folder, turned into OutputFailed with what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantize.errors import OutputFailed


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
