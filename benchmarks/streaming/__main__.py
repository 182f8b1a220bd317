"""`python -m benchmarks.streaming [--model random:2b] [--variant bfloat16,int4] [--windows 4,8,16] [--sizes 224,448]`

See the package for what is measured. Prints a table; the last line of output is the result as JSON, which is kept in
benchmarks/results/. bfloat16 beside the bfloat16 of transformers is the fair pair; int4 is the product. `--short` is
for a first look: one point of a small shape and one of the true one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console

from benchmarks.harness import attention_of, chip, fix_seed, store
from benchmarks.streaming.contest import FPS, Contest, Disagreement, Point, Row
from benchmarks.streaming.ours import NEW_TOKENS, QUESTION_TOKENS
from benchmarks.streaming.table import table
from edge.errors import is_out_of_memory
from edge.loading import RANDOM
from edge.profiling.busy import Busy
from edge.profiling.ceilings import measure_ceilings
from edge.runners.device_policy import choose_device

Plan = tuple[str, Sequence[str], Sequence[Point]]
"""A shape, its variants, and where they are measured."""

VARIANTS, WINDOWS, SIZES = ["bfloat16", "int4"], [4, 8, 16], [224, 280, 448]
SHORT: list[Plan] = [
    ("pocket", ["float32"], [Point(4, 112, 40)]),
    ("2b", ["bfloat16", "int4"], [Point(4, 224, 4)]),
]


def main() -> None:
    arguments = parse()
    # The models of transformers need no torchvision, and one that cannot load its own extension stops their import.
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
    device, console = choose_device(arguments.device), Console(stderr=True, width=200)
    fix_seed()
    ceilings = measure_ceilings(device)
    rows, refused = list[Row](), list[str]()
    figures = {**asked(), "rows": rows, "refused": refused, "transformers": version("transformers")}
    keep = partial(store, name(arguments, device), figures, ceilings=ceilings)
    with Busy() as busy:
        for shape, variants, points in SHORT if arguments.short else [plan(arguments)]:
            console.print(f"random:{shape}: making {', '.join(variants)}, and transformers with the same weights")
            contest = Contest(shape, variants, device)
            attention_of(contest.twin.config)  # refused now, and not after an hour
            for point in points:
                console.print(f"{point.rounds} slides of {point.window} groups of {point.size}x{point.size}")
                try:
                    rows += contest.measure(point)
                except Exception as error:  # the other points of a long run are still good
                    if not (isinstance(error, Disagreement) or is_out_of_memory(error)):
                        raise
                    refused.append(f"{point}: {error}")
                console.print(table(rows), *refused, sep="\n")
                keep(busy=busy, baseline=contest.twin.config, is_last=False)  # a stopped run loses nothing
    keep(busy=busy, baseline=contest.twin.config)
    sys.exit(1 if refused else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random:2b", help="random:2b, random:7b or random:pocket")
    parser.add_argument("--variant", type=_words, default=VARIANTS, help="one or several, with commas")
    parser.add_argument("--windows", type=_numbers, default=WINDOWS, help="groups in the longest window")
    parser.add_argument("--sizes", type=_numbers, default=SIZES, help="pixels of a side")
    parser.add_argument("--slides", type=int, default=8, help="at least so many per row; whole periods are measured")
    parser.add_argument("--short", action="store_true", help="two points in some minutes; the rest is ignored")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def plan(arguments: argparse.Namespace) -> Plan:
    points = [Point(window, size, arguments.slides) for size in arguments.sizes for window in arguments.windows]
    return arguments.model.removeprefix(RANDOM), arguments.variant, points


def asked() -> dict[str, Any]:
    return {
        "fps": FPS,
        "question_tokens": QUESTION_TOKENS,
        "new_tokens": NEW_TOKENS,
        "sampling": "greedy, no early stop",
    }


def name(arguments: argparse.Namespace, device: torch.device) -> str:
    """The published shape in full has the plain name; what is shorter or smaller must not overwrite it."""
    shape = arguments.model.removeprefix(RANDOM)
    is_whole = (arguments.variant, arguments.windows, arguments.sizes) == (VARIANTS, WINDOWS, SIZES)
    parts = ["short"] if arguments.short else ["" if shape == "2b" else shape, "" if is_whole else "part"]
    return "-".join(filter(None, ["streaming", *parts, chip(device)]))


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    main()
