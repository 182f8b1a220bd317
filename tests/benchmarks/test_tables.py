"""RESULTS.md and README tell what was measured last."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.figures import Result, boxes, lost_boxes
from benchmarks.goals import GOALS, Goal, goals
from benchmarks.tables import (
    CHOSEN,
    MARKED,
    ON_GPUS,
    README,
    REPORT,
    RESULTS,
    TABLES,
    UNMEASURED,
    latency_cpu,
    peers_cpu,
    prediction_cpu,
    streaming_cpu,
    written,
)


@pytest.mark.parametrize("document", [README, REPORT], ids=lambda document: document.name)
def test_no_table_is_stale(document: Path) -> None:
    text = document.read_text()

    assert written(text) == text, "a result changed: run `python -m benchmarks.tables`"


def test_every_table_is_in_the_report_and_the_readme_has_what_was_chosen() -> None:
    marks = [match["name"] for match in MARKED.finditer(REPORT.read_text())]

    assert sorted(marks) == sorted([*TABLES, *ON_GPUS])
    assert all((RESULTS / f"{name.partition('#')[0]}.json").exists() for name in TABLES)
    assert [match["name"] for match in MARKED.finditer(README.read_text())] == [*CHOSEN]


def test_the_readme_stays_short_enough_to_be_read() -> None:
    assert len(README.read_text().splitlines()) < 200


def test_pictures_of_the_readme_are_there() -> None:
    sources = re.findall(r'<img src="([^"]+)"', README.read_text())

    assert sources and all((README.parent / source).is_file() for source in sources)


def test_another_figure_makes_another_table(tmp_path: Path) -> None:
    result = json.loads((RESULTS / "quality-pocket.json").read_text())
    result["figures"]["object_f1"] = 0.123
    (tmp_path / "quality-pocket.json").write_text(json.dumps(result))

    text = written("before\n<!-- quality-pocket -->\nold\n<!-- /quality-pocket -->\nafter\n", tmp_path)

    assert "| 0.123 | 0.95, missed |" in text
    assert "old" not in text and text.startswith("before\n") and text.endswith("\nafter\n")


def test_every_gpu_has_a_table_once_it_was_measured_and_the_cpu_has_none_there(tmp_path: Path) -> None:
    text = "<!-- quality-pocket-short@gpu -->\n<!-- /quality-pocket-short@gpu -->"
    result = (RESULTS / "quality-pocket.json").read_text()
    (tmp_path / "quality-pocket-short-cpu.json").write_text(result)
    before = written(text, tmp_path)
    for card in ("nvidia-h100", "nvidia-rtx-4060"):
        (tmp_path / f"quality-pocket-short-{card}.json").write_text(result)

    after = written(before, tmp_path)

    assert UNMEASURED in before and UNMEASURED not in after
    assert after.index("`quality-pocket-short-nvidia-h100`") < after.index("`quality-pocket-short-nvidia-rtx-4060`")
    assert "cpu" not in after


def test_a_mark_without_a_table_is_an_error() -> None:
    with pytest.raises(OSError, match=r"unheard-of\.json"):
        written("<!-- unheard-of -->\n<!-- /unheard-of -->")


def test_a_slide_shows_its_ratio_its_loss_and_who_disturbed_it() -> None:
    spread = {"median": 2.0, "p90": 2.1, "p99": 2.2, "relative": 0.1, "n": 4}
    row = {
        "model": "random:2b", "variant": "int4-g128", "window": 8, "size": 448, "seconds_per_video_second": 5.0,
        "their_seconds_per_video_second": 10.0, "ratio": spread, "seeing_ratio": 3.0, "seeing_ratio_on_paper": 4.0,
        "age": spread, "their_age": spread, "slides": 8, "periods": 2, "quality": {"of": "not measured"}, "busy": True,
    }  # fmt: skip
    table = streaming_cpu({"rows": [row]})

    assert "| 8 x 448 | 5.00 | 10.00 | 2.00x ±5% | 3.0x (4.0x) |" in table
    assert "not measured, on a busy machine" in table


def test_too_few_times_have_no_percentiles() -> None:
    stage = {"name": "append", "n": 2, "p50": 0.001, "p90": 0.002, "p99": 0.003}
    often = {**stage, "name": "token", "n": 30}

    table = latency_cpu({"profile": {"stages": [stage, often]}, "busy": True})

    assert "on a busy machine" in table
    assert "| append | 2 | 1.00 |  |  |" in table and "| token | 30 | 1.00 | 2.00 | 3.00 |" in table


def test_a_peers_row_shows_how_far_its_runs_lay_apart() -> None:
    result = json.loads((RESULTS / "peers-cpu.json").read_text())
    row = next(row for row in result["rows"] if row["name"] == "ours")
    low, high = row["spread"]["decode_tps"]

    assert f"{row['decode_tps']:.1f}, {low:.1f}-{high:.1f} (" in peers_cpu(result)


def test_a_target_that_was_missed_is_said_to_be() -> None:
    steps = [{"what": what, "unit": "s", "predicted": ratio, "measured": 1.0, "ratio": ratio}
             for what, ratio in (("near", 1.19), ("far", 0.79))]  # fmt: skip
    table = prediction_cpu({"predictions": steps, "clocks": {"median": 1.024}})

    assert "| 1.19 | 20%, reached |" in table and "| 0.79 | 20%, missed |" in table
    assert "| +2.4% of their time |  | 2%, missed |" in table
    assert "2%, reached" in prediction_cpu({"predictions": [], "clocks": {"median": 0.996}})


@pytest.mark.parametrize(
    "found, is_least, verdict",
    [(0.7, True, "reached"), (0.69, True, "missed: for a reason"), (0.7, False, "reached"), (0.71, False, "missed")],
)
def test_a_goal_is_reached_at_its_bound_and_missed_beyond(found: float, is_least: bool, verdict: str) -> None:
    why = "for a reason" if ":" in verdict else ""
    goal = Goal("a thing", lambda read: found, 0.7, is_least, "{:.2f} s", why)

    sign = "≥" if is_least else "≤"
    assert goal.row(lambda name: {}) == ("a thing", f"{found:.2f} s", f"{sign} 0.70 s", verdict)


def test_a_goal_without_a_measurement_says_so() -> None:
    def absent(name: str) -> Result:
        raise FileNotFoundError(name)

    rows = goals(absent).splitlines()[2:]

    assert len(rows) == len(GOALS) and all("| not measured |" in row and "reached" not in row for row in rows)


def test_a_goal_of_a_peer_that_did_not_run_is_not_measured() -> None:
    ours = {"name": "ours", "unavailable": None, "decode_tps": 9.0}
    rows = [{"name": "llama.cpp", "unavailable": "no compiler"}, ours]
    row = next(goal for goal in GOALS if "llama.cpp" in goal.what).row(lambda name: {"rows": rows})

    assert row[1] == "not measured"


def test_a_missed_target_is_said_in_the_readme_too() -> None:
    pocket = {"figures": {"mean_iou": 0.7}, "targets": {"mean_iou": 0.75}}

    assert boxes(pocket)[1:] == ("0.70", "target 0.75, missed")


def test_a_figure_whose_row_is_gone_is_an_error_and_not_an_old_number() -> None:
    with pytest.raises(LookupError):
        lost_boxes([])
