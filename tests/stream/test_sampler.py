import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import BadPicture
from stream.sampler import BETWEEN_SAMPLES, DAMAGED, EARLY, HOLD_IN_FILES, OUT_OF_ORDER, FrameSampler, groups
from stream.testing import frame, frames

SIZE = (28, 28)


def sample(times, fps=2.0, **options):
    return list(groups([frame(pts) for pts in times], fps, SIZE, **options))


def slots_with_new_frames(times, fps):
    """The slow twin: which slots get a frame of their own."""
    return sorted({math.floor((pts + EARLY) * fps) for pts in times})


# The grid


@pytest.mark.parametrize("rate", [25.0, 30.0, 30000 / 1001, 24000 / 1001, 12.5, 2.0])
@pytest.mark.parametrize("start", [0.0, 1e9, 1.7e9 + 0.123])
def test_ten_seconds_give_ten_full_groups_whatever_the_rate_and_the_epoch(rate, start):
    start = math.ceil(start)
    made = list(groups(frames(int(rate * 10), rate, start=start), 2.0, SIZE))

    assert [group.index for group in made] == list(range(start, start + 10))
    assert all(group.num_frames == 2 for group in made)


@pytest.mark.parametrize("rate", [25.0, 30000 / 1001, 3.0, 7.3])
@pytest.mark.parametrize("start", [0, 10**9])
def test_a_source_at_the_grids_own_rate_loses_and_repeats_nothing(rate, start):
    first = math.ceil(start * rate)
    times = [(first + number) / rate for number in range(200)]
    sampler = FrameSampler(rate, SIZE)
    for pts in times:
        sampler.push(frame(pts))
        assert sampler.refused is None


def test_milliseconds_rounded_down_do_not_move_a_frame_into_the_slot_before():
    times = [math.floor(number / 30 * 1000) / 1000 for number in range(60)]

    assert [group.num_frames for group in sample(times, fps=30.0)] == [2] * 30


def test_two_runs_over_the_same_clock_share_the_grid():
    late = sample([pts for pts in (number / 25 for number in range(100)) if pts >= 1.0])
    whole = sample([number / 25 for number in range(100)])

    assert [(g.index, g.pts) for g in late] == [(g.index, g.pts) for g in whole if g.index >= 1]


def test_the_sample_of_a_slot_is_its_first_frame():
    (group,) = sample([0.1, 0.2, 0.3, 0.6, 0.9])

    assert group.pixels[0, 0, 0, 0] == frame(0.1).pixels[0, 0, 0]
    assert group.pixels[1, 0, 0, 0] == frame(0.6).pixels[0, 0, 0]
    assert group.pts == (0.0, 0.5)
    assert group.captured == 0.6


def test_a_frame_that_fills_no_slot_is_refused_with_the_reason():
    sampler = FrameSampler(2.0, SIZE)
    reasons = []
    for pts in (0.0, 0.1, 0.5, 0.6):
        sampler.push(frame(pts))
        reasons.append(sampler.refused)

    assert reasons == [None, BETWEEN_SAMPLES, None, BETWEEN_SAMPLES]


def test_a_source_whose_time_goes_back_is_seen():
    sampler = FrameSampler(2.0, SIZE)
    sampler.push(frame(10.0))

    assert sampler.push(frame(1.0)) == []
    assert sampler.refused == OUT_OF_ORDER


def test_times_before_zero_lie_on_the_same_grid():
    assert [group.index for group in sample([-0.99, -0.49, 0.01, 0.51])] == [-1, 0]


# Holes


def test_a_camera_slower_than_the_grid_repeats_its_frame():
    made = sample([0.0, 1.0, 2.0, 3.0])

    assert [group.index for group in made] == [0, 1, 2, 3]
    assert [group.num_frames for group in made] == [1] * 4


def test_a_group_of_repetitions_only_counts_no_frame_and_keeps_the_newest_frames_times():
    made = sample([0.0, 2.0])

    assert [(group.index, group.num_frames, group.captured) for group in made] == [
        (0, 1, 0.0),
        (1, 0, 0.0),
        (2, 1, 2.0),
    ]


def test_a_long_hole_is_a_gap_before_which_the_unfinished_group_is_completed():
    made = sample([0.0, 0.5, 1.0, 9.0, 9.5])

    assert [(group.index, group.num_frames) for group in made] == [(0, 2), (1, 1), (9, 2)]


def test_after_a_gap_a_frame_in_an_odd_slot_fills_the_even_one_too():
    made = sample([0.0, 0.5, 9.5, 10.0, 10.5])

    assert [(group.index, group.num_frames) for group in made] == [(0, 2), (9, 1), (10, 2)]
    assert (made[1].pixels[0] == made[1].pixels[1]).all()
    assert made[1].captured == 9.5


def test_hold_says_how_long_a_hole_may_be():
    times = [0.0, 0.5, 4.0, 4.5]  # six empty slots, three seconds

    assert [group.index for group in sample(times, hold=3.0)] == [0, 1, 2, 3, 4]
    assert [group.index for group in sample(times, hold=2.9)] == [0, 4]


def film(times, duration=0.0):
    """Frames as a file gives them."""
    return [replace(frame(pts), clock="file", duration=duration) for pts in times]


def test_in_a_file_a_picture_holds_until_the_next_one():
    made = list(groups(film([0.0, 0.5, 30.0, 30.5]), 2.0, SIZE))

    assert [group.index for group in made] == list(range(31))
    assert [group.num_frames for group in made] == [2] + [0] * 29 + [2]
    assert {id(group.pixels) for group in made[1:30]} == {id(made[1].pixels)}
    assert (made[1].pixels == made[0].pixels[1]).all()


def test_in_a_file_the_last_picture_holds_as_long_as_it_says():
    (last,) = film([0.5], duration=9.6)  # until 10.1

    made = list(groups([*film([0.0]), last], 2.0, SIZE))

    assert [(group.index, group.num_frames) for group in made] == [(0, 2)] + [(index, 0) for index in range(1, 11)]


def test_a_video_at_the_rate_of_the_grid_ends_with_its_last_picture():
    made = list(groups(film([0.0, 0.5, 1.0, 1.5], duration=0.5), 2.0, SIZE))

    assert [(group.index, group.num_frames) for group in made] == [(0, 2), (1, 2)]


def test_a_picture_that_holds_for_hours_is_a_clock_that_was_set():
    hours = list(groups(film([0.0, 0.5, 7200.0, 7200.5]), 2.0, SIZE))
    endless = list(groups(film([0.0, 0.5], duration=1e9), 2.0, SIZE))

    assert [group.index for group in hours] == [0, 7200]
    assert len(endless) == 1 + HOLD_IN_FILES


def test_hold_overrules_what_the_clock_says():
    assert [group.index for group in groups(film([0.0, 0.5, 4.0, 4.5]), 2.0, SIZE, hold=2.0)] == [0, 4]


def test_damaged_frames_are_no_samples_whatever_their_size_and_the_picture_before_them_holds():
    sampler = FrameSampler(2.0, SIZE)
    broken = replace(frame(0.5, (0, 0)), damaged=True)
    made = [*sampler.push(frame(0.0)), *sampler.push(broken)]

    assert (sampler.refused, sampler.resolution_changes, made) == (DAMAGED, 0, [])
    (group,) = sampler.push(frame(1.0))
    assert (group.index, group.num_frames) == (0, 1)


def test_in_a_file_no_picture_stands_in_for_a_long_run_of_damaged_ones():
    broken = [replace(each, damaged=True) for each in film([1.0, 2.0, 29.0])]
    made = list(groups([*film([0.0, 0.5]), *broken, *film([30.0, 30.5])], 2.0, SIZE))

    assert [group.index for group in made] == [0, 30]


def test_the_seconds_of_video_are_those_from_the_first_frame_to_the_end_of_the_newest():
    sampler = FrameSampler(2.0, SIZE)
    assert sampler.seconds == 0.0
    for each in film([-7.0, -6.5, -5.0], duration=0.5):
        sampler.push(each)

    assert sampler.seconds == 2.5


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.sampled_from([0.5, 1.0, 2.0, 3.7]),
    st.sampled_from([0.0, 2.0]),
)
def test_every_gap_shows_in_the_index_and_every_jump_is_a_gap(steps, fps, hold):
    times = [sum(steps[:count]) / 4 for count in range(len(steps) + 1)]
    filled = slots_with_new_frames(times, fps)
    longest = max(2, math.floor(hold * fps))
    gaps = sum(after - before - 1 > longest for before, after in pairwise(filled))
    indices = [group.index for group in sample(times, fps, hold=hold)]
    jumps = sum(after != before + 1 for before, after in pairwise(indices))

    assert jumps == gaps


# Ends


def test_an_odd_last_frame_is_repeated_at_the_end_of_the_file():
    made = sample([0.0, 0.5, 1.0])

    assert [(group.index, group.num_frames) for group in made] == [(0, 2), (1, 1)]
    assert (made[1].pixels[0] == made[1].pixels[1]).all()


def test_no_frames_give_no_groups():
    assert sample([]) == []


def test_pending_is_the_frame_of_the_unfinished_group():
    sampler = FrameSampler(2.0, SIZE)
    seen = [sampler.pending]
    for pts in (0.0, 0.1, 0.5, 1.0):
        sampler.push(frame(pts))
        seen.append(sampler.pending)
    sampler.flush()

    assert [*seen, sampler.pending] == [0, 1, 1, 0, 1, 0]


# Sizes


def test_every_group_has_the_fixed_size_and_the_newest_picture_at_its_own():
    (group,) = groups([frame(0.0, (90, 120)), frame(0.5, (90, 120))], 2.0, (56, 84))

    assert group.pixels.shape == (2, 56, 84, 3)
    assert group.picture.shape == (90, 120, 3)


def test_the_size_is_chosen_once_from_the_first_frame():
    asked = []

    def choose(height, width):
        asked.append((height, width))
        return 28, 56

    made = list(groups([frame(0.0, (90, 120)), frame(0.5, (90, 120)), frame(1.0, (9, 12))], 2.0, choose_size=choose))

    assert asked == [(90, 120)]
    assert {group.pixels.shape for group in made} == {(2, 28, 56, 3)}


def test_a_change_of_resolution_completes_the_group_and_goes_on_at_the_same_size():
    sampler = FrameSampler(2.0, SIZE)
    made = []
    for pts, size in [(0.0, (40, 40)), (0.6, (80, 80)), (1.0, (80, 80)), (1.5, (80, 80))]:
        made += sampler.push(frame(pts, size))

    assert sampler.resolution_changes == 1
    assert [(group.index, group.num_frames, group.picture.shape[0]) for group in made] == [
        (0, 1, 40),
        (1, 2, 80),
    ]


def test_two_resolutions_never_share_a_group():
    made = list(groups([frame(0.0, (40, 40)), frame(0.5, (40, 40)), frame(1.5, (80, 80))], 2.0, SIZE))

    assert [(group.index, group.num_frames, group.picture.shape[0]) for group in made] == [
        (0, 2, 40),
        (1, 1, 80),
    ]
    assert (made[1].pixels[0] == made[1].pixels[1]).all()


def test_a_picture_without_pixels_is_refused_and_changes_nothing():
    sampler = FrameSampler(2.0, SIZE)
    sampler.push(frame(0.0))
    with pytest.raises(BadPicture, match="0x0"):
        sampler.push(frame(0.5, (0, 0)))

    assert sampler.pending == 1


@pytest.mark.parametrize("fps", [0, -1.0, math.nan, math.inf, -math.inf])
def test_an_impossible_rate_is_refused(fps):
    with pytest.raises(ValueError, match="fps"):
        FrameSampler(fps, SIZE)


@pytest.mark.parametrize("size", [(0, 28), (28, -28)])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match="must be positive"):
        FrameSampler(2.0, size)


def test_hold_must_be_a_time_and_the_size_must_come_from_one_place():
    with pytest.raises(ValueError, match="hold"):
        FrameSampler(2.0, SIZE, hold=math.nan)
    with pytest.raises(ValueError, match="fixed size or choose_size"):
        FrameSampler(2.0)
    with pytest.raises(ValueError, match="fixed size or choose_size"):
        FrameSampler(2.0, SIZE, choose_size=lambda height, width: SIZE)


# The laws

steps = st.lists(st.tuples(st.one_of(st.floats(0, 0.6), st.floats(0, 12)), st.sampled_from([8, 9])), max_size=40)


@settings(deadline=None)
@given(steps, st.floats(0.1, 30), st.sampled_from([0.0, -50.0, 1e9]))
def test_whatever_comes_each_frame_is_counted_once_on_an_absolute_growing_grid(steps, fps, start):
    sampler = FrameSampler(fps, SIZE)
    pts, received, refused, given_out = start, 0, 0, 0
    made = []
    for step, side in steps:
        pts += step
        new = sampler.push(frame(pts, (side, side)))
        made += new
        received += 1
        refused += sampler.refused is not None
        given_out += sum(group.num_frames for group in new)

        assert received == refused + given_out + sampler.pending
    made += sampler.flush()

    assert sampler.pending == 0
    assert received == refused + sum(group.num_frames for group in made)
    assert all(before.index < after.index for before, after in pairwise(made))
    for group in made:
        assert group.num_frames in (0, 1, 2)
        assert group.pts == (2 * group.index / fps, (2 * group.index + 1) / fps)
        assert group.picture.shape[0] in (8, 9)


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 30))
def test_the_frames_that_become_samples_are_the_first_of_their_slots(steps, fps):
    times = [sum(steps[:count]) for count in range(len(steps) + 1)]
    sampler = FrameSampler(fps, SIZE)
    sampled = []
    for pts in times:
        sampler.push(replace(frame(0.0), pts=pts))
        if sampler.refused is None:
            sampled.append(math.floor((pts + EARLY) * fps))

    # Completing a group before a gap may take the slot of no frame, but never that of one.
    assert sampled == slots_with_new_frames(times, fps)
