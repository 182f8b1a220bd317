"""Predictions: quantities as people write them, and what more of something must lead to."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import DoesNotFit
from edge.model.config import parse_config
from edge.model.random import random_plan
from edge.model.shapes import published_config
from edge.planning.costs import Costs, Weights
from edge.planning.device import CARDS, Card, amount
from edge.planning.memory import predict_memory
from edge.planning.predict import USUAL, Plan, Shares, Wish, make_plan

CONFIG = parse_config(published_config("2b"))
COSTS = Costs(CONFIG, Weights.planned(CONFIG, random_plan("int4", tied=True), torch.bfloat16))
BEST = Shares(1, 1, 1, 1)


def plan(card: Card = CARDS["rtx-4060"], shares: Shares = USUAL["cuda"], **wish: object) -> Plan:
    return make_plan(COSTS, card, shares, Wish(**wish), "int4")  # type: ignore[arg-type]


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
    token = plan(shares=BEST).token

    # 0.68 GB of layers, 0.23 GB of head and the keys and values of six groups, at 272 GB/s
    assert token == pytest.approx((COSTS.weights.body + COSTS.weights.head + 1589 * 28672) / 272e9, rel=1e-3)


@given(st.integers(1, 16), st.integers(1, 8))
def test_more_to_watch_is_never_cheaper(window: int, cameras: int) -> None:
    one, more = plan(window=window, cameras=cameras), plan(window=window + 1, cameras=cameras + 1)

    assert more.memory.total > one.memory.total
    assert more.load > one.load and more.age > one.age and more.worst_age >= one.worst_age
    assert more.streams <= one.streams


@given(st.floats(0.05, 1.0))
def test_a_share_of_the_best_stretches_every_time_by_as_much(share: float) -> None:
    best, ours = plan(shares=BEST), plan(shares=Shares(share, share, share, share))

    for name in ("vision", "append", "first_token", "token", "answer", "age"):
        assert getattr(ours, name) == pytest.approx(getattr(best, name) / share)


def test_as_many_streams_fit_as_the_load_allows() -> None:
    one = plan(every=10.0)

    assert one.streams >= 1
    assert plan(every=10.0, cameras=one.streams).load <= 1 < plan(every=10.0, cameras=one.streams + 1).load


def test_memory_can_be_what_limits_the_streams() -> None:
    small = dataclasses.replace(CARDS["h200"], memory=2.6e9)

    assert 0 < plan(small, every=60.0).streams < plan(CARDS["h200"], every=60.0).streams


def test_what_does_not_fit_is_refused_with_the_bytes_that_are_short() -> None:
    memory = predict_memory(COSTS, (448, 448), window=8, overhead=0)

    memory.check(memory.total, "it")
    with pytest.raises(DoesNotFit, match=r"it needs \d+ MB .*: 1 bytes short"):
        memory.check(memory.total - 1, "it")
