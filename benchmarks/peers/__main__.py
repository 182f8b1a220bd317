"""How fast are we beside others, on this machine? `python -m benchmarks.peers [MODEL_FOLDER] [--only openvino,ours]`

Without a folder, a model with random weights of the true 2B shape is written first. Environments and converted models
are kept under runs/peers and made only once; the first call takes most of an hour. Prints a table, and writes
benchmarks/results/peers-cpu.json or peers-GPU.json; with a folder or `--only` under a name that says so. Close
everything else: rows measured while others used the machine are marked.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.harness import chip
from benchmarks.peers import PEERS
from benchmarks.peers.adapter import CACHE, REPETITIONS, Adapter
from benchmarks.peers.checkpoint import random_checkpoint
from benchmarks.peers.contest import Contest
from benchmarks.peers.environments import here, interpreter
from benchmarks.peers.rows import Row
from benchmarks.peers.table import notes, table
from benchmarks.peers.workload import describe
from edge.hub import find_model
from edge.machine import machine
from edge.profiling.ceilings import memory_bandwidth

RESULTS = Path(__file__).parents[1] / "results"
LIMIT, CONVERT_LIMIT = 900.0, 3600.0  # seconds


def main() -> None:
    arguments = _arguments()
    console = Console(stderr=True, width=200)
    model = find_model(arguments.model) if arguments.model else random_checkpoint(CACHE, arguments.tokenizer)
    names = arguments.only.split(",") if arguments.only else list(PEERS)
    logs = CACHE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    contest = Contest(
        model=model, interpreter=_here if arguments.here else _own, bandwidth=_read_bandwidth, logs=logs,
        limit=arguments.limit, convert_limit=CONVERT_LIMIT, say=lambda line: console.print(line, style="dim"),
        repetitions=arguments.repetitions,
    )  # fmt: skip
    rows = contest.hold(names, arguments.rounds)
    console.print(table(rows))
    for line in notes(rows):
        console.print(line, markup=False)
    result = report(rows, model)
    _write(_name(arguments), result)
    if arguments.json:
        print(json.dumps(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", help="a Qwen2-VL checkpoint")
    parser.add_argument("--tokenizer", type=Path, help="a folder with Qwen2's tokenizer, for the random model")
    parser.add_argument("--only", help=f"names from: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="in each round")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds until a run is given up")
    parser.add_argument("--here", action="store_true", help="install nothing: only what this Python has is measured")
    parser.add_argument("--json", action="store_true", help="the result on standard output, as one line")
    return parser.parse_args()


def _read_bandwidth() -> float:
    """GB/s at this moment: decoding is bounded by it, and it drifts."""
    return memory_bandwidth(torch.device("cpu"))[0] / 1e9


def _own(adapter: type[Adapter]) -> Path:
    return interpreter(adapter.environment, CACHE)


def _here(adapter: type[Adapter]) -> Path:
    return here(adapter.packages)


def report(rows: Sequence[Row], model: Path) -> dict[str, Any]:
    facts = machine()
    return {
        "date": datetime.date.today().isoformat(), "commit": facts.pop("commit"), "model": model.name,
        "workload": describe(), "rows": [row.to_json() for row in rows], "machine": facts,
    }  # fmt: skip


def _name(arguments: argparse.Namespace) -> str:
    """All engines on random weights have the plain name; others must not overwrite it."""
    model = Path(arguments.model).name if arguments.model else ""
    device = chip(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    part = "here" if arguments.here and device == "cpu" else "part" if arguments.only else ""
    return "-".join(filter(None, ["peers", model, part, device]))


def _write(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
