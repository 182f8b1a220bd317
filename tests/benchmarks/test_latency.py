"""Predictions beside measurements, on pocket: quick, and right enough to be told from wrong."""

from __future__ import annotations

import pytest

from benchmarks import latency
from benchmarks.latency import _name, predictions
from edge.commands.profile import make_target
from edge.profiling.pipeline_steps import ProfileSettings
from edge.profiling.profile import profile


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("random:2b", "int4", False), "latency-cpu"),
        (("random:2b", "int4", True), "latency-short-cpu"),
        (("random:2b", "bfloat16", False), "latency-cpu-bfloat16"),
        (("random:7b", "int4", False), "latency-random-7b-cpu"),
        (("models/Mine v2", None, False), "latency-models-mine-v2-cpu"),
    ],
)
def test_nothing_overwrites_the_result_of_something_else(asked: tuple[str, str | None, bool], name: str) -> None:
    assert _name(*asked, "cpu") == name


def test_every_step_and_the_memory_are_predicted_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SIDES", (84,))
    target = make_target("pocket", None, "cpu", "auto")
    engine = target.load()
    workload = ProfileSettings(window=2, answer_tokens=8)
    report = profile(target, workload, live_seconds=1, progress=lambda what: None).report

    found = {one.what.partition(" at ")[0]: one for one in predictions(target, engine, report, workload)}

    assert set(found) == {
        "memory: weights", "memory: keys, values, activations", "memory: most", "vision tower", "append", "question",
        "token", "capture to event",
    }  # fmt: skip
    assert all(one.predicted > 0 and one.measured > 0 for one in found.values() if one.unit == "s")
    assert found["memory: weights"].ratio == 1
