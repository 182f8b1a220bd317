"""Two profiles compared: what changed beyond the noise of both, and whether they may be compared at all."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge.cli.tables.comparison import show_comparison
from edge.reports.compare import LEAST_NOISE, Change, compare, differences

ODD = st.sampled_from([None, 0, 1e-30, 1.0, 1e300, math.inf, math.nan, "text"])


@pytest.fixture
def other(report: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(report)


def change(changes: list[Change], what: str) -> Change:
    return next(change for change in changes if change.what == what)


def stage(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in report["stages"] if row["name"] == name)


def slower(report: dict[str, Any], name: str, times: float) -> None:
    stage(report, name).update({key: times * stage(report, name)[key] for key in ("p50", "p90", "p99", "total")})


def test_a_report_is_the_same_as_itself(report: dict[str, Any], other: dict[str, Any]) -> None:
    assert {change.verdict for change in compare(report, other)} == {"same"}
    assert differences(report, other) == []


def test_everything_that_has_a_figure_is_compared(report: dict[str, Any], other: dict[str, Any]) -> None:
    whats = [change.what for change in compare(report, other)]
    assert whats == [
        "decode", "capture to event", "vision tower", "prefix", "token", "tokens per second", "memory, measured",
        "memory, predicted", "age of a live answer", "loading",
    ]  # fmt: skip


def test_a_slower_stage_is_slower(report: dict[str, Any], other: dict[str, Any]) -> None:
    slower(other, "token", 1.5)
    found = change(compare(report, other), "token")
    assert (found.verdict, found.unit, found.is_worse) == ("slower", "s", True)
    assert found.ratio == pytest.approx(1.5)
    assert change(compare(other, report), "token").verdict == "faster"


def test_more_tokens_per_second_are_faster(report: dict[str, Any], other: dict[str, Any]) -> None:
    for point in other["decode"]:
        point["tokens_per_second"] *= 2
    assert change(compare(report, other), "tokens per second").verdict == "faster"


def test_more_memory_is_larger(report: dict[str, Any], other: dict[str, Any]) -> None:
    other["memory"]["measured"]["total"] *= 2
    found = change(compare(report, other), "memory, measured")
    assert (found.verdict, found.is_worse) == ("larger", True)


def test_noise_comes_from_the_spread_and_shrinks_with_the_number_of_times(
    report: dict[str, Any], other: dict[str, Any]
) -> None:
    many = change(compare(report, other), "token").noise
    stage(report, "token")["n"] = 9
    few = change(compare(report, other), "token").noise
    stage(report, "token")["p90"] *= 2
    wide = change(compare(report, other), "token").noise
    assert LEAST_NOISE <= many < few < wide
    slower(other, "token", 1.1)
    assert change(compare(report, other), "token").verdict == "same"


def test_a_single_time_is_trusted_little(report: dict[str, Any], other: dict[str, Any]) -> None:
    slower(other, "prefix", 1.2)
    assert change(compare(report, other), "prefix").verdict == "same"


def test_what_one_side_lacks_is_no_change_but_told(report: dict[str, Any], other: dict[str, Any]) -> None:
    del other["live"], other["stages"][0]
    whats = [change.what for change in compare(report, other)]
    assert "decode" not in whats and "age of a live answer" not in whats
    assert differences(report, other) == ["only the first has: decode"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("machine", "cpu"), "Another", "machine cpu: A Processor, then Another"),
        (("machine", "torch"), "2.14.0", "machine torch: 2.13.0, then 2.14.0"),
        (("model", "device"), "cuda", "device: cpu, then cuda"),
        (("workload", "window"), 4, "workload window: 8, then 4"),
        (("ceilings", "read"), 6e9, "ceiling read: the second run found 0.50 times what the first found"),
        (("busy",), "load of 3", "the second was disturbed: load of 3"),
        (("failed",), "out of memory", "the second failed on the way: out of memory"),
    ],
)
def test_what_makes_two_incomparable_is_told(
    report: dict[str, Any], other: dict[str, Any], path: tuple[str, ...], value: object, told: str
) -> None:
    *parents, last = path
    holder = other
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    assert differences(report, other) == [told]


UNFAIR = [
    (("workload", "window"), 4),
    (("ceilings", "read"), 6e9),
    (("ceilings", "read"), 24e9),
    (("busy",), "load of 3"),
    (("failed",), "out of memory"),
    (("size",), [224, 336]),
]


@pytest.mark.parametrize(("path", "value"), UNFAIR)
@pytest.mark.parametrize("times", [0.5, 2])
def test_no_run_is_called_faster_than_one_on_another_machine_or_at_other_work(
    report: dict[str, Any], other: dict[str, Any], path: tuple[str, ...], value: object, times: float
) -> None:
    slower(other, "token", times)
    *parents, last = path
    holder = other
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    other["memory"]["measured"]["total"] *= 2

    for one, two in ((report, other), (other, report)):
        changes = compare(one, two)
        assert {"faster", "slower"}.isdisjoint(each.verdict for each in changes)
        assert change(changes, "token").verdict == "withheld"
        assert change(changes, "token").ratio == pytest.approx(times if two is other else 1 / times)
        assert change(changes, "vision tower").verdict == "same"
        assert change(changes, "memory, measured").verdict in ("larger", "smaller")


def test_another_library_is_told_and_still_judged(report: dict[str, Any], other: dict[str, Any]) -> None:
    other["machine"]["torch"] = "2.14.0"
    slower(other, "token", 2)
    assert differences(report, other) == ["machine torch: 2.13.0, then 2.14.0"]
    assert change(compare(report, other), "token").verdict == "slower"


def test_another_commit_or_variant_is_what_one_compares(report: dict[str, Any], other: dict[str, Any]) -> None:
    other["machine"]["commit"], other["model"]["variant"] = "def5678", "int8"
    assert differences(report, other) == []


@given(before=ODD, after=ODD, spread=ODD)
def test_odd_numbers_break_nothing(before: object, after: object, spread: object) -> None:
    def odd(value: object) -> dict[str, Any]:
        return {
            "stages": [{"name": "token", "n": 9, "p50": value, "p90": spread}],
            "decode": [{"context": 1, "tokens_per_second": value}],
            "live": {"age_p50": value, "age_p99": spread, "answers": spread},
            "model": {"load_seconds": value},
            "ceilings": {"read": value},
        }

    show_comparison(odd(before), odd(after), Console(quiet=True))
    assert all(change.verdict == "same" for change in compare(odd(before), odd(before)))


def test_the_table_tells_verdicts_units_and_warnings(report: dict[str, Any], other: dict[str, Any]) -> None:
    slower(other, "token", 1.5)
    other["busy"] = "load of 3 [of 2]"
    other["model"]["name"] = "[bold]a name[/nothing]"
    console = Console(width=120, record=True, file=io.StringIO())
    show_comparison(report, other, console)
    shown = console.export_text()
    assert "slower" not in shown
    for text in (
        "withheld",
        "reasons above",
        "10.0",
        "15.0",
        "1.50",
        "load of 3 [of 2]",
        "[bold]a name[/nothing]",
        "440",
    ):
        assert text in shown
