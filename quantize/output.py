"""What the system says against writing a file or folder, turned into OutputFailed with what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from quantize.errors import OutputFailed


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says against writing `path` into OutputFailed with what to do."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(_message(path, error.strerror or str(error), error.errno)) from None
    except SafetensorError as error:  # which has the system's number in its text alone
        number = re.search(r"os error (\d+)", str(error))
        raise OutputFailed(_message(path, str(error), int(number[1]) if number else None)) from None


def _message(path: Path, reason: str, number: int | None) -> str:
    return f"{path} cannot be written: {reason}. {_advice(path, number)}"


def _advice(path: Path, number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space or choose another disk, and start again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Choose a folder that you may write to, or change the permissions of {path.parent}."
    return "Check the disk, or choose another folder."
