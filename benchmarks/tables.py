"""README's tables, from the results they tell of: `python -m benchmarks.tables` writes them, `--check` only compares.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`, and comes from benchmarks/results/NAME.json. Nobody types a
figure, so none is forgotten when it is measured anew.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"
MARKED = re.compile(r"<!-- (?P<name>[\w-]+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)

Result = Mapping[str, Any]

FIGURES = {
    "object_f1": "objects named in descriptions, F1", "motion": "motion of the objects named",
    "mean_iou": "boxes, mean IoU", "recall_at_half": "boxes, recall at IoU 0.5",
    "yesno": "yes/no", "absent": "says so when the thing is absent",
    "count": "counting", "change": "what changed, word for word",
}  # fmt: skip


def quality_pocket(result: Result) -> str:
    def row(name: str, figure: str) -> tuple[str, ...]:
        value, target = result["figures"][name], result["targets"].get(name)
        verdict = "" if target is None else f"{target:.2f}, {'reached' if value >= target else 'missed'}"
        return figure, f"{value:.3f}", verdict

    return markdown(("figure", "measured", "target"), [row(*item) for item in FIGURES.items()])


def quality_variants(result: Result) -> str:
    def row(variant: Result) -> tuple[str, ...]:
        figures = variant["figures"]
        return (
            f"{variant['variant'].partition('+')[0]}, {variant['method']}",
            f"{variant['megabytes']:.1f}",
            f"{figures['kl_mean']:.5f}",
            f"{figures['kl_p99']:.4f}",
            f"{figures['top1']:.2%}",
            f"{figures['perplexity_change']:+.2%}",
            f"{figures['object_f1_loss']:+.4f}",
            f"{figures['mean_iou_loss']:+.4f}",
            f"{figures['yesno_flips']:.3f}",
        )

    heads = (
        "language model",
        "MB",
        "KL mean, nats",
        "KL p99",
        "top-1",
        "perplexity",
        "F1 loss",
        "IoU loss",
        "yes/no flips",
    )
    return markdown(heads, [row(variant) for variant in result["variants"]])


TABLES: dict[str, Callable[[Result], str]] = {
    "quality-pocket": quality_pocket,
    "quality-variants": quality_variants,
}


def markdown(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """
    >>> print(markdown(("a", "b"), [("1", "2")]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(text: str, results: Path = RESULTS) -> str:
    """The text with every marked table made anew. Raises OSError for one without a result, KeyError without a table."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        result = json.loads((results / f"{name}.json").read_text())
        return f"<!-- {name} -->\n{TABLES[name](result)}\n<!-- /{name} -->"

    return MARKED.sub(table, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a table is stale")
    before = README.read_text()
    after = written(before)
    if parser.parse_args().check:
        sys.exit(before != after)
    README.write_text(after)


if __name__ == "__main__":
    main()
