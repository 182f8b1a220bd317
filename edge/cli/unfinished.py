"""What a run of `edge quantize` that failed or was stopped leaves behind, and what becomes of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.cli.terminal import notes
from quantize.atomic_folder import partial_folder
from quantize.calibration_store import store_folder


@contextmanager
def unfinished_told(out: Path, folders: Iterable[Path]) -> Iterator[None]:
    """Says so where the run ends before the folders are whole."""
    try:
        yield
    except BaseException:
        left = [path for path in (*map(partial_folder, folders), store_folder(out)) if path.exists()]
        if left:
            names = " ".join(shlex.quote(str(path)) for path in left)
            notes.print(
                f"not finished; what there is lies in {names}. The same command goes on with it and ends with the same "
                f"bytes; another order for {out} begins anew there. To give up: rm -r {names}",
                style="yellow", markup=False, soft_wrap=True,
            )  # fmt: skip
        raise
