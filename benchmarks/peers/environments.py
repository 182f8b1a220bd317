"""An environment for each peer, made when it is first needed: engines demand versions that exclude each other.

`requirements-NAME.txt` beside this file pins everything that is in it. An environment is made anew when they change.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.peers.adapter import Unavailable

HERE = Path(__file__).parent
INSTALL_LIMIT = 3600.0  # seconds; llama.cpp is compiled


def interpreter(name: str | None, cache: Path) -> Path:
    """The Python of that environment under `cache`; our own for None. Raises Unavailable."""
    if name is None:
        return Path(sys.executable)
    folder = cache / name / "venv"
    requirements = HERE / f"requirements-{name}.txt"
    installed = folder / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        _install(requirements, folder, folder.with_name("install.log"))
        installed.write_text(requirements.read_text())
    return _python(folder)


def here(packages: tuple[str, ...]) -> Path:
    """The Python that runs this, if it has these packages. Raises Unavailable."""
    if missing := [name for name in packages if not any(metadata.Distribution.discover(name=name))]:
        raise Unavailable(f"not installed here: {', '.join(missing)}")
    return Path(sys.executable)


def _install(requirements: Path, folder: Path, log: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(_python(folder)), "-m", "pip", "install", "--requirement", str(requirements)],
    ]
    parallel = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1)} | os.environ
    with log.open("w") as output:
        for step in steps:
            try:
                subprocess.run(
                    step, stdout=output, stderr=subprocess.STDOUT, env=parallel, timeout=INSTALL_LIMIT, check=True
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise Unavailable(f"cannot be installed: {_reason(log) or error} (see {log})") from None


def _reason(log: Path) -> str:
    """The first line that pip calls an error."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line.strip() for line in lines if line.strip().upper().startswith("ERROR")), "")


def _python(folder: Path) -> Path:
    return folder.absolute() / ("Scripts" if os.name == "nt" else "bin") / "python"
