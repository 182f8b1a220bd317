"""Predictions: quantities as people write them, and what more of something must lead to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import DoesNotFit
from edge.models.architecture import parse_config, planned_weights, published_content
from edge.models.costs import Cost
from edge.models.qwen2_vl.costs import Qwen2VLCosts
from edge.models.random import random_plan
from edge.planning.device import DEVICES, DeviceSpec, amount
from edge.planning.forecast import Forecast, Workload, make_forecast
from edge.planning.memory_budget import predict_memory
from edge.planning.roofline import DEFAULT_FITS, Measurement, RooflineFit, RooflineFits

CONFIG = parse_config(published_content("2b"))
COSTS = Qwen2VLCosts(
    CONFIG,
    planned_weights(CONFIG, random_plan("int4", tied=True), torch.bfloat16),
)
PLAIN = Qwen2VLCosts(CONFIG, planned_weights(CONFIG, None, torch.bfloat16))
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
BEST = RooflineFits(*[RooflineFit(passes=1, factor=0)] * 4)  # as fast as it reads
RATE, BANDWIDTH = 1e12, 1e10


def stretched(times: float) -> RooflineFits:
    return RooflineFits(*[RooflineFit(times, times)] * 4)


def plan(
    device: DeviceSpec = DEVICES["rtx-4060"], fits: RooflineFits = DEFAULT_FITS["cuda", True], **workload: object
) -> Forecast:
    return make_forecast(COSTS, device, fits, Workload(**workload), is_quantized=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("8GB", "B", 8e9),
        ("8 gb", "B", 8e9),
        ("512M", "B", 512e6),
        ("272GB/s", "B/s", 272e9),
        ("1.008 TB/s", "B/s", 1.008e12),
        ("60T", "FLOPS", 60e12),
        ("121TOPS", "OPS", 121e12),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, unit: str, value: float) -> None:
    assert amount(text, unit) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "GB", "8 apples", "-8GB", "8GB/s", "0GB", "8PB", "1e9"])
def test_other_amounts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it like|more than nothing"):
        amount(text, "B")


def test_at_its_best_a_device_decodes_as_fast_as_it_reads_the_weights() -> None:
    token = plan(fits=BEST).token

    # 0.68 GB of layers, 0.23 GB of head and the keys and values of six groups, at 272 GB/s
    assert token == pytest.approx((COSTS.weights.body + COSTS.weights.head + 1589 * 28672) / 272e9, rel=1e-3)


@given(st.integers(1, 16), st.integers(1, 8))
def test_more_to_watch_is_never_cheaper(window: int, cameras: int) -> None:
    one, more = plan(window=window, cameras=cameras), plan(window=window + 1, cameras=cameras + 1)

    assert more.memory.total > one.memory.total
    assert more.load > one.load and more.age > one.age and more.worst_age >= one.worst_age
    assert more.streams <= one.streams


@given(st.floats(1.0, 20.0))
def test_coefficients_stretch_every_time_by_as_much(times: float) -> None:
    one, more = plan(fits=stretched(1)), plan(fits=stretched(times))

    for name in ("vision", "append", "first_token", "token", "answer", "age"):
        assert getattr(more, name) == pytest.approx(times * getattr(one, name))


@given(st.floats(0.0, 50.0), st.floats(0.01, 50.0), st.floats(2.0, 20.0))
@example(0.0, 1.5, 3.0)
def test_two_sizes_tell_what_is_fixed_and_what_grows(passes: float, factor: float, growth: float) -> None:
    """A device that behaves as assumed is found again, whatever the sizes."""
    true, costs = RooflineFit(passes, factor), [Cost(1e11, 1e9), Cost(1e11 * growth, 1.1e9)]
    small, large = (Measurement(true.seconds(cost, RATE, BANDWIDTH), cost) for cost in costs)

    found = RooflineFit.through(small, large, RATE, BANDWIDTH)

    between = Cost(1e11 * (1 + growth) / 2, 1.05e9)
    assert found.seconds(between, RATE, BANDWIDTH) == pytest.approx(true.seconds(between, RATE, BANDWIDTH), rel=1e-6)


def test_sizes_that_are_alike_stretch_both_parts() -> None:
    measurement = Measurement(1.0, Cost(1e11, 1e9))

    found = RooflineFit.through(measurement, measurement, RATE, BANDWIDTH)

    assert found.passes == found.factor > 0
    assert found.seconds(measurement.cost, RATE, BANDWIDTH) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("small", "large", "nothing"),
    [
        pytest.param(2.0, 1.0, "factor", id="the smaller one took longer"),
        pytest.param(0.1, 9.0, "passes", id="grows faster than its operations"),
    ],
)
def test_a_part_that_noise_would_make_negative_is_nothing(small: float, large: float, nothing: str) -> None:
    cost = Cost(1e12, 1e9)

    found = RooflineFit.through(Measurement(small, Cost(1e11, 1e9)), Measurement(large, cost), RATE, BANDWIDTH)

    assert getattr(found, nothing) == 0
    assert found.seconds(cost, RATE, BANDWIDTH) == pytest.approx(large)


def test_without_a_profile_the_cpu_on_file_is_predicted_as_it_was_measured() -> None:
    """Figures typed by hand stay near those of the results they were taken from."""
    report = json.loads((RESULTS / "latency-short-cpu-xeon-2.json").read_text())["profile"]
    stages = {stage["name"]: stage["p50"] for stage in report["stages"]}
    size, work = tuple(report["size"]), report["workload"]
    found = plan(DEVICES["xeon-2"], DEFAULT_FITS["cpu", True], size=size, window=work["window"])
    peers = {row["name"]: row for row in json.loads((RESULTS / "peers-cpu.json").read_text())["rows"]}
    plain = make_forecast(PLAIN, DEVICES["xeon-2"], DEFAULT_FITS["cpu", False], Workload(window=1), is_quantized=False)

    assert found.vision == pytest.approx(stages["vision tower"], rel=0.35)
    assert found.append == pytest.approx(stages["append"], rel=0.35)
    assert found.token == pytest.approx(stages["token"], rel=0.35)
    assert plain.vision == pytest.approx(peers["ours-bf16"]["vision_ms"] / 1000, rel=0.35)
    assert plain.append == pytest.approx(peers["ours-bf16"]["prefill_ms"] / 1000, rel=0.35)
    assert plain.token == pytest.approx(1 / peers["ours-bf16"]["decode_tps"], rel=0.35)


def test_as_many_streams_fit_as_the_load_allows() -> None:
    one = plan(every=10.0)

    assert one.streams >= 1
    assert plan(every=10.0, cameras=one.streams).load <= 1 < plan(every=10.0, cameras=one.streams + 1).load


def test_a_device_that_cannot_keep_up_with_one_camera_says_what_it_drops_and_what_would_spare_it() -> None:
    slow = plan(DEVICES["xeon-2"], stretched(2.0))
    assert slow.streams == 0 and slow.dropped == pytest.approx(1 - 1 / slow.load)
    fast = plan(every=10.0)
    assert fast.streams > 0 and fast.dropped == 0


def test_answers_so_seldom_that_nothing_is_dropped_drop_nothing() -> None:
    busy = plan(answer_tokens=4000)
    assert busy.streams == 0 and busy.sparing is not None
    assert plan(answer_tokens=4000, every=1.01 * busy.sparing).streams == 1
    assert plan(answer_tokens=4000, every=0.99 * busy.sparing).streams == 0


def test_where_seeing_alone_is_too_much_no_pause_between_answers_helps() -> None:
    slow = plan(DEVICES["xeon-2"], stretched(100.0))
    assert slow.sparing is None and plan(DEVICES["xeon-2"], stretched(100.0), every=1e6).dropped > 0


def test_memory_can_be_what_limits_the_streams() -> None:
    small = dataclasses.replace(DEVICES["h200"], memory=2.6e9)

    assert 0 < plan(small, every=60.0).streams < plan(DEVICES["h200"], every=60.0).streams


def test_each_stream_keeps_the_embeddings_of_its_window() -> None:
    one, two = (predict_memory(COSTS, (448, 448), window=8, overhead=0, streams=streams) for streams in (1, 2))

    assert one.embeddings == 8 * 256 * 1536 * 2  # groups, tokens, width, bytes
    assert two.embeddings == 2 * one.embeddings
    assert one.total == one.weights + one.kv + one.embeddings + one.activations


@pytest.mark.parametrize("memory", [2.5e9, 3e9, 8e9])
def test_as_many_streams_are_told_as_have_room(memory: float) -> None:
    device = dataclasses.replace(DEVICES["h200"], memory=memory)
    found = plan(device, every=600.0, fps=0.01)

    assert found.streams > 0
    assert plan(device, cameras=found.streams, every=600.0, fps=0.01).memory.total <= memory
    assert plan(device, cameras=found.streams + 1, every=600.0, fps=0.01).memory.total > memory


def test_what_does_not_fit_is_refused_with_the_bytes_that_are_short() -> None:
    memory = predict_memory(COSTS, (448, 448), window=8, overhead=0)

    memory.check(memory.total, "it")
    with pytest.raises(DoesNotFit, match=r"it needs \d+ MB .*: 1 bytes short"):
        memory.check(memory.total - 1, "it")
