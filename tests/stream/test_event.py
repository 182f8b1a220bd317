import json
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream
from stream.event import SCHEMA, Box, Event, rfc3339

fractions = st.floats(0, 1)
boxes = st.builds(Box, st.text(max_size=5), fractions, fractions, fractions, fractions)
finite = st.floats(allow_nan=False, allow_infinity=False)
events = st.builds(
    Event,
    stream=st.text(),
    task=st.text(),
    seq=st.integers(0, 10**9),
    groups=st.tuples(st.integers(), st.integers()),
    start=finite,
    end=finite,
    clock=st.sampled_from(["file", "arrival", "synthetic"]),
    age=finite,
    text=st.text(),
    finish=st.sampled_from(["stop", "length", "loop"]),
    boxes=st.lists(boxes, max_size=3).map(tuple),
    flags=st.lists(st.sampled_from(["clamped", "tiled"]), max_size=2).map(tuple),
    answer=st.none() | st.sampled_from(["yes", "no"]),
    p_yes=st.none() | fractions,
    id=st.uuids().map(str),
    time=st.floats(0, 4e9).map(rfc3339),
    span=st.floats(0, 1e6),
    seconds=st.floats(0, 1e6),
    question=st.text(),
    accepted=st.integers(0, 10**6),
)


@settings(deadline=None)
@given(events)
def test_an_event_survives_its_json(event):
    assert Event.from_dict(json.loads(event.to_json())) == event


@settings(deadline=None)
@given(events)
def test_json_is_one_line(event):
    assert len(event.to_json().split("\n")) == 1


def test_an_event_written_before_there_were_flags_is_read():
    event = Event("door", "ground", 0, (0, 3), 0.0, 3.5, "file", 0.4, "A dog.", "stop")
    written = event.to_dict()
    del written["flags"]

    assert Event.from_dict(written) == event


def test_overlap_of_boxes():
    left, right = Box("a", 0, 0, 0.5, 1), Box("a", 0.25, 0, 0.75, 1)

    assert left.iou(left) == 1
    assert left.iou(right) == right.iou(left) == 0.25 / 0.75
    assert left.iou(Box("a", 0.5, 0, 1, 1)) == 0


PAGE = Path(stream.__file__).parent / "EVENTS.md"
KINDS = {
    "string": str,
    "number": float,
    "integer": int,
    "boolean": bool,
    "string or null": str | None,
    "number or null": float | None,
    "two integers": list,
    "list of objects": list,
    "list of strings": list,
}


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


@settings(deadline=None)
@given(events)
def test_the_page_on_events_tells_every_field_in_its_order_and_its_type(event):
    written = json.loads(event.to_json())

    assert list(written) == list(documented())
    assert written["schema"] == SCHEMA
    for name, kind in documented().items():
        assert isinstance(written[name], KINDS[kind]), name


def test_what_a_later_version_added_is_passed_over_and_another_schema_is_refused():
    event = Event("door", "ground", 0, (0, 3), 0.0, 3.5, "file", 0.4, "A dog.", "stop")

    assert Event.from_dict({**event.to_dict(), "mood": "calm"}) == event
    with pytest.raises(ValueError, match="schema 2, and this version reads 1"):
        Event.from_dict({**event.to_dict(), "schema": 2})


def test_times_of_the_wall_are_rfc_3339_with_zone_and_milliseconds():
    now = 1_790_000_000.1234

    assert datetime.fromisoformat(rfc3339(now)).timestamp() == pytest.approx(now, abs=1e-3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rfc3339(1_790_000_000.0))
