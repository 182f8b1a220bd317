"""The page of a profile: all of a report is on it, whatever the report holds, and nothing else is needed to see it."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.reports import units
from edge.reports.page import render, write_page
from edge.reports.plots import linear, logarithmic

HEADINGS = [
    "Where the time goes", "Every step of a frame", "How near to the ceiling", "Speed of an answer", "Memory",
    "Memory over time", "A live camera", "Energy", "What was measured", "Ceilings of this device", "The machine",
    "What the stages are",
]  # fmt: skip
LOADING = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}  # attributes that make a browser fetch
ODD = [None, 0, 0.0, -1, 5e-324, 1e-30, 1e300, math.inf, math.nan, 10**400, True, "text", [], {}]


class Page(HTMLParser):
    """Headings, text, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.headings.append(data.strip())

    @property
    def fetched(self) -> list[str]:
        return [value for name, value in self.attributes if name in LOADING and value != "data:,"]


def test_every_part_of_a_report_has_its_section(report: dict[str, Any]) -> None:
    assert Page(render(report)).headings == HEADINGS


def test_figures_stand_with_their_units(report: dict[str, Any]) -> None:
    page = render(report).replace(units.SPACE, " ")
    for figure in (
        "4.00 ms",
        "650 ms",
        "12.0 GB/s",
        "160 GFLOP/s",
        "440 MB",
        f"168{units.TIMES}112 pixels",
        "80 %",
        "700 ms",
    ):
        assert figure in page
    assert "not possible" in page  # a ceiling of None
    assert "nothing tells" in page  # why energy was not measured


def test_stages_that_hold_others_come_last_and_are_not_added(report: dict[str, Any]) -> None:
    page = render(report)
    assert page.index('scope="row">token') < page.index('scope="row">capture to event')
    assert "capture to event" not in page[page.index("Where the time goes") : page.index("Every step of a frame")]


def test_a_busy_machine_and_a_failure_are_told(report: dict[str, Any]) -> None:
    page = render({**report, "busy": "load of 3.4", "failed": "out of memory: 1 GiB"})
    assert "load of 3.4" in page and "out of memory: 1 GiB" in page


@pytest.mark.parametrize("missing", [("stages", "decode", "size", "live", "energy"), ("memory",), ("machine", "model")])
def test_a_profile_that_failed_half_way_has_a_page(report: dict[str, Any], missing: tuple[str, ...]) -> None:
    half = {name: part for name, part in report.items() if name not in missing}
    assert Page(render({**half, "failed": "out of memory"})).headings


def test_nothing_at_all_has_a_page_too() -> None:
    assert Page(render({})).headings == []


def test_a_live_camera_without_an_answer(report: dict[str, Any]) -> None:
    report["live"] |= {"answers": 0, "age_p50": None, "age_p99": None}
    assert "No answer came in time" in render(report)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '" onload="alert(1)', "</style><img src=x>", "{{ 7*1103 }}"]
)
def test_a_name_can_hold_anything(report: dict[str, Any], name: str) -> None:
    plain = Page(render({**report, "busy": "yes"}))
    report["model"]["name"] = report["machine"]["cpu"] = report["stages"][0]["name"] = report["busy"] = name
    report["workload"][name] = report["live"]["dropped"][name] = 1
    page = Page(render(report))
    assert set(page.tags) == set(plain.tags)
    assert {key for key, _ in page.attributes} == {key for key, _ in plain.attributes}
    assert "7721" not in render({"model": {"name": name}})


def test_a_browser_has_nothing_to_fetch_and_nothing_to_run(report: dict[str, Any]) -> None:
    html = render(report)
    page = Page(html)
    assert page.fetched == [] and "script" not in page.tags and "@import" not in html and "url(" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


@given(st.data())
@settings(max_examples=60)
def test_odd_numbers_break_nothing(data: st.DataObject) -> None:
    report = _odd(_sound(), data)
    for name, value in Page(render(report)).attributes:
        if value.endswith("%") and name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
            assert -0.01 <= float(value[:-1]) <= 100.01
        if name == "points":
            assert all(0 <= float(number) <= 100 for number in re.split("[ ,]", value))


def _sound() -> dict[str, Any]:
    stages = [
        {"name": name, "n": 8, "p50": 1.0, "p90": 2.0, "p99": 3.0, "total": 8.0, "floor": 0.1, "share_of_ceiling": 0.1}
        for name in ("decode", "token", "unheard of")
    ]
    return {
        "model": {"name": "m", "load_seconds": 1.0},
        "ceilings": {"read": 1e9, "int8": 1e9},
        "workload": {"fps": 2.0, "window": 8},
        "size": [112, 168],
        "stages": stages,
        "decode": [{"context": 1, "tokens_per_second": 1.0}, {"context": 2, "tokens_per_second": 2.0}],
        "live": {"seconds": 1.0, "age_p50": 1.0, "age_p99": 1.0, "dropped": {"overrun": 1}},
        "energy": {"joules_per_answer": 1.0},
        "memory": {
            "predicted": {"weights": 1e9, "kv": 1e9, "total": 2e9},
            "measured": {"overhead": 1e9, "kv_and_activations": 1e9, "total": 2e9},
            "available": 3e9,
            "timeline": [[0.0, 1e9], [1.0, 2e9]],
        },
    }  # fmt: skip


def _odd(value: Any, data: st.DataObject) -> Any:
    """The same with odd numbers in some places."""
    if isinstance(value, dict):
        return {key: _odd(part, data) for key, part in value.items()}
    if isinstance(value, list):
        return [_odd(part, data) for part in value]
    return data.draw(st.sampled_from([value, *ODD])) if isinstance(value, int | float) else value


@given(st.lists(st.floats(min_value=0, allow_nan=False, allow_infinity=False), max_size=5))
def test_a_scale_holds_its_values_and_has_few_ticks(values: list[float]) -> None:
    for scale in (logarithmic(values), linear(values), linear(values, from_zero=False)):
        assert 2 <= len(scale.marks) <= 8
        places = [scale.at(mark) for mark in scale.marks]
        assert places == sorted(places)
        assert all(0 <= scale.at(value) <= 100 for value in values)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (units.seconds(9.3e-6), "9.30 µs"),
        (units.seconds(0.653), "653 ms"),
        (units.seconds(0), "0 s"),
        (units.seconds(None), "–"),  # noqa: RUF001
        (units.nbytes(4.42e9), "4.42 GB"),
        (units.nbytes(999.9e6), "1.00 GB"),
        (units.percent(0.0721), "7.2 %"),
        (units.percent(1e-6), "< 0.1 %"),
        (units.rounded(units.seconds)(0.01), "10 ms"),
    ],
)
def test_numbers_have_three_digits_and_a_unit(written: str, expected: str) -> None:
    assert written.replace(units.SPACE, " ") == expected


@pytest.mark.timeout(300)  # a browser on a busy machine
def test_a_browser_shows_it(report: dict[str, Any], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on the PATH")
    write_page(report, tmp_path / "page.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", str(tmp_path / "page.html")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=280)
    page = Page(shown.stdout)
    assert page.headings == HEADINGS
    assert page.tags.count("svg") >= 2 * len(report["stages"])
    assert page.fetched == []
    assert "CONSOLE" not in shown.stderr  # where a browser tells of wrong attributes and refused resources
