import json

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.event import Box, Event

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
