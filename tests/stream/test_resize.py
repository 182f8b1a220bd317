import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import BadPicture
from stream.resize import resize, smart_resize

CELL = 28
LIMITS = {"factor": CELL, "min_pixels": 128 * 784, "max_pixels": 768 * 784}

sides = st.integers(1, 5000)
areas = st.integers(1, 2000).map(lambda cells: cells * 784)


@pytest.fixture(scope="module")
def theirs():
    """The rule as transformers has it."""
    return pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl").smart_resize


@settings(deadline=None)
@given(sides, sides, areas, areas)
def test_it_is_the_rule_of_transformers(theirs, height, width, one, other):
    limits = {"factor": CELL, "min_pixels": min(one, other), "max_pixels": max(one, other)}
    try:
        expected = theirs(height, width, **limits)
    except ValueError:
        with pytest.raises(BadPicture):
            smart_resize(height, width, **limits)
    else:
        assert smart_resize(height, width, **limits) == expected


@settings(deadline=None)
@given(sides, sides)
def test_both_sides_are_multiples_and_the_area_is_within_limits(height, width):
    if max(height, width) > 100 * min(height, width):
        return
    tall, wide = smart_resize(height, width, **LIMITS)

    assert tall % CELL == wide % CELL == 0
    assert tall > 0 and wide > 0
    assert LIMITS["min_pixels"] <= tall * wide <= LIMITS["max_pixels"]


def test_one_pixel_grows_to_the_smallest_size():
    assert smart_resize(1, 1, **LIMITS) == (336, 336)


@pytest.mark.parametrize(("height", "width"), [(300, 1), (1, 300), (0, 10), (10, 0), (0, 0), (201, 1)])
def test_a_picture_that_the_model_cannot_take_is_a_named_error(height, width):
    with pytest.raises(BadPicture, match=f"{width}x{height}"):
        smart_resize(height, width, **LIMITS)


def test_the_error_says_the_size_the_limit_and_what_to_do():
    with pytest.raises(BadPicture) as caught:
        smart_resize(300, 1, **LIMITS)

    for part in ("1x300", "200", "Crop"):
        assert part in str(caught.value)


@pytest.mark.parametrize("wrong", [{"min_pixels": 0}, {"min_pixels": 10**9}, {"factor": 0}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        smart_resize(100, 100, **{**LIMITS, **wrong})


def test_a_picture_of_the_right_size_is_returned_as_it_is():
    pixels = np.zeros((28, 56, 3), np.uint8)

    assert resize(pixels, (28, 56)) is pixels


def test_resizing_gives_the_size_asked_for_and_a_picture_of_its_own():
    pixels = np.full((100, 50, 3), 77, np.uint8)
    small = resize(pixels, (28, 56))

    assert small.shape == (28, 56, 3)
    assert small.dtype == np.uint8
    assert small.flags.writeable
    assert (small == 77).all()


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((280, 280, 3), np.uint8)
    stripes[:, ::2] = 255

    assert abs(int(resize(stripes, (28, 28))[14, 14, 0]) - 127) <= 2


def test_a_picture_without_pixels_cannot_be_resized():
    with pytest.raises(BadPicture, match="5x0"):
        resize(np.zeros((0, 5, 3), np.uint8), (28, 28))
