"""A trace: the documented event format, with spans that nest on every thread."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.models.costs import Cost
from edge.profiling.profile import Profile
from edge.profiling.spans import Span, Spans
from edge.reports.trace import lanes, trace, write_trace


def a_profile() -> Profile:
    """Loading is looked at from 9.5 s on; the answer begins at 10 s."""
    spans = Spans()
    spans.add("vision tower", 10.0, 10.2, lambda: Cost(3e9, 2e6))
    spans.add("token", 10.2, 10.3, lambda: Cost(1e6, 4e6), context=120)
    spans.add("capture to event", 10.0, 10.4)
    reader = threading.Thread(target=lambda: spans.add("decode", 10.1, 10.15), name="reader")
    reader.start()
    reader.join()
    report = {"date": "2026-01-02", "model": {"name": "<pocket>", "variant": "int4"}}
    return Profile(report, spans, [(9.5, 100), (10.25, 300)])


def of_kind(kind: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in found["traceEvents"] if event["ph"] == kind]


def test_the_file_is_json_with_the_keys_that_viewers_need(tmp_path: Path) -> None:
    write_trace(a_profile(), tmp_path / "trace.json")
    found = json.loads((tmp_path / "trace.json").read_text())
    assert found["displayTimeUnit"] == "ms" and found["otherData"]["variant"] == "int4"
    for event in found["traceEvents"]:
        assert {"name", "ph", "pid", "tid", "args"} <= event.keys()
        if event["ph"] in "XC":
            assert isinstance(event["ts"], int) and event["ts"] >= 0
    assert all(isinstance(event["dur"], int) and event["dur"] >= 0 for event in of_kind("X", found))


def test_times_are_microseconds_from_the_first_thing_recorded() -> None:
    found = trace(a_profile())
    times = {event["name"]: (event["ts"], event["dur"]) for event in of_kind("X", found)}
    assert times["capture to event"] == (500_000, 400_000)
    assert times["token"] == (700_000, 100_000)
    assert [(event["ts"], event["args"]) for event in of_kind("C", found)] == [
        (0, {"bytes": 100}),
        (750_000, {"bytes": 300}),
    ]


def test_costs_and_context_are_arguments() -> None:
    arguments = {event["name"]: event["args"] for event in of_kind("X", trace(a_profile()))}
    assert arguments["token"] == {"operations": 1_000_000, "bytes": 4_000_000, "context tokens": 120}
    assert arguments["decode"] == {}


def test_process_and_threads_have_names() -> None:
    found = trace(a_profile())
    names = {(event["name"], event["tid"]): event["args"].get("name") for event in of_kind("M", found)}
    assert names[("process_name", 0)] == "edge profile: <pocket>"
    threads = {tid: name for (kind, tid), name in names.items() if kind == "thread_name"}
    assert set(threads.values()) == {threading.current_thread().name, "reader"}
    assert {event["tid"] for event in of_kind("X", found)} == set(threads)


def test_a_span_comes_after_the_one_it_lies_in() -> None:
    names = [event["name"] for event in of_kind("X", trace(a_profile()))]
    assert names.index("capture to event") < names.index("vision tower")


def test_nothing_recorded_is_a_trace_too() -> None:
    assert [event["name"] for event in trace(Profile())["traceEvents"]] == ["process_name"]


moments = st.integers(0, 40).map(lambda ticks: ticks * 0.1234567)
spans = st.lists(st.tuples(moments, moments).map(lambda pair: Span("s", min(pair), max(pair))), max_size=12)


@given(spans)
def test_spans_of_a_lane_always_nest(spans: list[Span]) -> None:
    found = lanes(spans)
    assert sorted(map(id, spans)) == sorted(id(span) for lane in found for span in lane)
    for lane in found:
        for number, one in enumerate(lane):
            for other in lane[number + 1 :]:
                assert other.end <= one.end or other.start >= one.end


@given(spans)
def test_rounding_keeps_them_nested(spans: list[Span]) -> None:
    recorded = Spans()
    for span in spans:
        recorded.add(span.name, span.start, span.end)
    events = of_kind("X", trace(Profile(spans=recorded)))
    for number, one in enumerate(events):
        for other in events[number + 1 :]:
            if one["tid"] == other["tid"]:
                end = one["ts"] + one["dur"]
                assert other["ts"] + other["dur"] <= end or other["ts"] >= end


def test_spans_that_nest_need_one_lane() -> None:
    nested = [Span("whole", 0, 10), Span("part", 0, 4), Span("part", 4, 10), Span("inner", 5, 6)]
    assert len(lanes(nested)) == 1
    assert len(lanes([Span("one", 0, 5), Span("overlapping", 3, 8)])) == 2
