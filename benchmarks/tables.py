"""The tables of RESULTS.md and README's figures and targets, as measured: `python -m benchmarks.tables` makes them.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`, and comes from benchmarks/results/NAME.json; NAME#PART is
another table of the same result; NAME@gpu has one for every GPU's NAME-*.json, or says that there is none yet.
`--check` only compares. Nobody types a figure, so none is forgotten when it is
measured anew.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Read, Result, figures
from benchmarks.goals import goals
from benchmarks.known_quality import said
from benchmarks.markdown import markdown
from edge.profiling.background_load import BUSY_ABOVE

README = Path(__file__).parents[1] / "README.md"
REPORT = Path(__file__).parent / "RESULTS.md"
RESULTS = Path(__file__).parent / "results"
MARKED = re.compile(r"<!-- (?P<name>[\w#@-]+) -->\n.*?<!-- /(?P=name) -->", re.DOTALL)

CLOSE, CLOCKS = 0.20, 0.02  # how far a prediction may be off, what clocks may add
CHOSEN: dict[str, Callable[[Read], str]] = {"goals": goals, "figures": figures}  # of several results; README shows them
ENOUGH = 10  # times, from which on a percentile says something

TOLD = {
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

    return markdown(("figure", "measured", "target"), [row(*item) for item in TOLD.items()])


def quality_variants(result: Result) -> str:
    def row(variant: Result) -> tuple[str, ...]:
        figures = variant["figures"]
        return (
            f"{variant['variant']}, {variant['method']}",
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
        "weights",
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


def latency_cpu(result: Result) -> str:
    """Where the time goes, and beside it what the formulas say of other sizes."""
    profile = result["profile"]

    def row(stage: Result) -> tuple[str, ...]:
        share = f"{stage['share_of_ceiling']:.0%}" if "share_of_ceiling" in stage else ""
        floor = _ms(stage["floor"]) if "floor" in stage else ""
        spread = [_ms(stage[name]) if stage["n"] >= ENOUGH else "" for name in ("p90", "p99")]
        return stage["name"], str(stage["n"]), _ms(stage["p50"]), *spread, floor, share

    heads = (_disturbed("step, ms", result), "n", "p50", "p90", "p99", "floor", "of the ceiling")
    return markdown(heads, [row(stage) for stage in profile["stages"]])


def prediction_cpu(result: Result) -> str:
    rows = [
        (
            one["what"],
            *(_amount(one[which], one["unit"]) for which in ("predicted", "measured")),
            f"{one['ratio']:.2f}",
            _verdict(abs(one["ratio"] - 1), CLOSE),
        )
        for one in result["predictions"]
    ]
    added = result["clocks"]["median"] - 1
    clocks = ("clocks beside pocket's steps", "", f"{added:+.1%} of their time", "", _verdict(added, CLOCKS))
    return markdown(("what", "predicted", "measured", "ratio", "target"), [*rows, clocks])


def _verdict(error: float, most: float) -> str:
    return f"{most:.0%}, {'reached' if error <= most else 'missed'}"


def streaming_cpu(result: Result) -> str:
    """Seconds of compute for each second of video that a window slides by, and the age of the answer then."""

    def row(found: Result) -> tuple[str, ...]:
        ratio = found["ratio"]
        around = "" if ratio["relative"] is None else f" ±{ratio['relative'] / 2:.0%}"
        return (
            f"{found['model']}, {found['variant']}",
            f"{found['window']} x {found['size']}",
            f"{found['seconds_per_video_second']:.2f}",
            f"{found['their_seconds_per_video_second']:.2f}",
            f"{ratio['median']:.2f}x{around}",
            f"{found['seeing_ratio']:.1f}x ({found['seeing_ratio_on_paper']:.1f}x)",
            f"{found['age']['median']:.2f}",
            f"{found['their_age']['median']:.2f}",
            f"{found['slides']} in {found['periods']}",
            said(found["quality"]) + (", on a busy machine" if found["busy"] else ""),
        )

    heads = ("weights", "groups x side", "ours, s/s", "re-run, s/s", "ratio", "without decoding (on paper)", "age, s",
             "its age, s", "slides in periods", "what such weights lose")  # fmt: skip
    return markdown(heads, [row(found) for found in result["rows"]])


def peers_cpu(result: Result) -> str:
    baseline = next(row for row in result["rows"] if row["name"] == "transformers")

    def row(peer: Result) -> tuple[str, ...]:
        if peer["unavailable"] is not None:
            return peer["name"], peer["variant"], f"not measured: {peer['unavailable']}", *[""] * 7
        faster = peer["decode_tps"] / baseline["decode_tps"]
        sooner = baseline["ttft_ms"] / peer["ttft_ms"] if peer["ttft_ms"] and baseline["ttft_ms"] else None
        return (
            peer["name"],
            peer["variant"],
            _whole(peer["vision_ms"]),
            _whole(peer["prefill_ms"]),
            _range(peer, "ttft_ms", 0) + (f" ({sooner:.1f}x)" if sooner else ""),
            _range(peer, "decode_tps", 1) + f" ({faster:.1f}x)",
            _whole(peer["peak_rss_mib"]),
            _whole(peer["disk_mb"]),
            f"{peer['others']:.0%}" + (", busy" if peer["others"] > BUSY_ABOVE else ""),
            said(peer["quality"]),
        )

    heads = ("engine", "weights", "vision ms", "prefill ms", "first token ms", "tokens/s", "peak MiB", "disk MB",
             "CPU taken by others", "what such weights lose")  # fmt: skip
    return markdown(heads, [row(peer) for peer in result["rows"]])


def _disturbed(heading: str, result: Result) -> str:
    return f"{heading} (on a busy machine: too long)" if result.get("busy") else heading


def _range(peer: Result, measure: str, digits: int) -> str:
    """The median, and from the lowest to the highest."""
    if peer[measure] is None:
        return "-"
    low, high = peer["spread"][measure]
    return f"{peer[measure]:.{digits}f}, {low:.{digits}f}-{high:.{digits}f}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


def _amount(value: float, unit: str) -> str:
    return f"{value / 1e6:.0f} MB" if unit == "B" else f"{_ms(value)} ms"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


TABLES: dict[str, Callable[[Result], str]] = {
    "quality-pocket": quality_pocket,
    "quality-variants": quality_variants,
    "latency-short-cpu": latency_cpu,
    "latency-short-cpu#predictions": prediction_cpu,
    "streaming-cpu": streaming_cpu,
    "peers-cpu": peers_cpu,
    "peers-part-cpu": peers_cpu,
}
ON_GPUS: dict[str, Callable[[Result], str]] = {
    "quality-pocket-short@gpu": quality_pocket,
    "latency-short@gpu": latency_cpu,
    "streaming-short@gpu": streaming_cpu,
    "peers-part@gpu": peers_cpu,
}
UNMEASURED = "Not measured yet: `make gpu` does."


def written(text: str, results: Path = RESULTS) -> str:
    """The text with every marked table made anew. Raises OSError for one without a result, KeyError without a table."""

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{made(name, results)}\n<!-- /{name} -->"

    return MARKED.sub(table, text)


def made(name: str, results: Path) -> str:
    """One table, without its marks."""

    def read(name: str) -> Result:
        result: Result = json.loads((results / f"{name}.json").read_text())
        return result

    if name in CHOSEN:
        return CHOSEN[name](read)
    if name in ON_GPUS:
        return _on_gpus(name, results, read)
    result = read(name.partition("#")[0])
    return TABLES[name](result)


def _on_gpus(name: str, results: Path, read: Callable[[str], Result]) -> str:
    """A table for each result whose name tells another device than the CPU."""
    found = [path.stem for path in sorted(results.glob(f"{name.partition('@')[0]}-*.json"))]
    tables = [f"`{stem}`\n\n{ON_GPUS[name](read(stem))}" for stem in found if "cpu" not in stem.split("-")]
    return "\n\n".join(tables) or UNMEASURED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a table is stale")
    before = {document: document.read_text() for document in (README, REPORT)}
    after = {document: written(text) for document, text in before.items()}
    if parser.parse_args().check:
        sys.exit(before != after)
    for document, text in after.items():
        document.write_text(text)


if __name__ == "__main__":
    main()
