"""Drawn scenes: the truth that comes with them is true."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sources.scene import COLOURS, DIRECTIONS, SHAPES, SIZES, Scene
from stream.sources.synthetic import SyntheticSource

SEEDS = st.integers(0, 10**6)


def test_the_vocabulary_is_rich_enough() -> None:
    assert len(COLOURS) >= 6
    assert len(SHAPES) >= 5
    assert len(SIZES) == 3


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.floats(0, 10), st.sampled_from([(1.0, 1.0), (640.0, 360.0), (300.0, 500.0)]))
def test_every_box_lies_inside_the_picture(seed: int, t: float, size: tuple[float, float]) -> None:
    things = Scene(seed, *size, duration=10.0).things(t)
    assert len(things) <= 4
    for thing in things:
        assert 0 <= thing.box.x1 < thing.box.x2 <= 1
        assert 0 <= thing.box.y1 < thing.box.y2 <= 1
        assert thing.motion in ("still", *DIRECTIONS)
    assert len({thing.label for thing in things}) == len(things)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_each_box_holds_its_colour(seed: int) -> None:
    """Where nothing overlaps, the middle of a thing (of a full-shaped one) looks like its colour."""
    scene = Scene(seed, duration=5.0)
    picture = scene.render(2.0, 224, 224).astype(float)
    for thing in scene.things(2.0):
        others = [other for other in scene.things(2.0) if other is not thing]
        if thing.shown < 1 or any(thing.box.iou(other.box) > 0 for other in others):
            continue
        x, y = (thing.box.x1 + thing.box.x2) / 2, (thing.box.y1 + thing.box.y2) / 2
        patch = picture[int(y * 224) - 2 : int(y * 224) + 3, int(x * 224) - 2 : int(x * 224) + 3].mean(axis=(0, 1))
        hue = patch / np.linalg.norm(patch)
        likeness = {name: float(hue @ (np.array(rgb) / np.linalg.norm(rgb))) for name, rgb in COLOURS.items()}
        assert max(likeness, key=likeness.__getitem__) == thing.colour


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_motion_is_where_the_box_goes(seed: int) -> None:
    scene = Scene(seed, duration=10.0)
    for before, after in itertools.product(scene.things(4.0), scene.things(4.5, span=0.5)):
        if before.label != after.label or min(before.shown, after.shown) < 1:
            continue
        dx, dy = after.box.x1 - before.box.x1, after.box.y1 - before.box.y1
        step = DIRECTIONS.get(after.motion, (0, 0))
        assert (dx * step[0] + dy * step[1] > 0.005) == (after.motion != "still")


def test_the_same_seed_gives_the_same_film() -> None:
    for t in (0.0, 1.0):
        assert np.array_equal(Scene(5).render(t, 56, 84), Scene(5).render(t, 56, 84))
    assert not np.array_equal(Scene(5).render(1.0, 56, 84), Scene(6).render(1.0, 56, 84))


def test_scenes_show_one_to_four_things_and_all_kinds_of_motion() -> None:
    moments = [Scene(seed, duration=6.0).things(4.0, 0.5) for seed in range(150)]
    assert {len(things) for things in moments} >= {1, 2, 3, 4}
    assert {thing.motion for things in moments for thing in things} == {"still", *DIRECTIONS}
    changes = [
        [{thing.label for thing in scene.things(t)} for t in (0.0, 5.0)]
        for scene in (Scene(seed, duration=6.0) for seed in range(60))
    ]
    assert any(after - before for before, after in changes)
    assert any(before - after for before, after in changes)


def test_the_source_gives_frames_on_its_own_clock() -> None:
    source = SyntheticSource("synthetic://?seed=3&size=84x56&fps=10&seconds=1")
    frames = list(source)
    assert [frame.pts for frame in frames] == [index / 10 for index in range(10)]
    assert frames[0].pixels.shape == (56, 84, 3)
    assert not source.live


def test_a_live_source_ends_when_it_is_closed() -> None:
    source = SyntheticSource("synthetic://?seconds=1000&fps=1&live=1")
    frames = iter(source)
    next(frames)
    threading.Timer(0.05, source.close).start()
    assert next(frames, None) is None


@pytest.mark.parametrize(
    "address",
    [
        "synthetic://?sed=3",
        "synthetic://?fps=0",
        "synthetic://?size=big",
        "synthetic://?size=10",
        "synthetic://?seconds=-1",
        "synthetic://?fps=x",
    ],
)
def test_options_that_mean_nothing_are_named(address: str) -> None:
    with pytest.raises(ValueError, match="synthetic"):
        SyntheticSource(address)
