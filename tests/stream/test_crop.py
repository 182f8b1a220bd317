"""A part of the picture: which numbers mean one, what is cut out, and where its boxes lie in the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.crop import WHOLE, Crop
from stream.errors import CropOutside
from stream.event import Box
from stream.session import Session
from stream.tasks.describe import Describe
from stream.tasks.ground import Ground
from stream.testing import FakeEngine, FakeSink, FakeSource, frame

PART = "<|box_start|>(0,0),(500,1000)<|box_end|>"


def test_pixels_and_fractions_are_told_apart_by_their_numbers():
    assert Crop.parse("0, 0, 1, 1") == WHOLE
    assert Crop.parse("640,0,640,720").sides(720, 1280) == (640, 0, 1280, 720)
    assert Crop.parse("0.5,0,0.5,1").sides(720, 1280) == (640, 0, 1280, 720)
    assert Crop.parse("0,0,2,1").sides(720, 1280) == (0, 0, 2, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no four numbers"),
        ("1,2,3", "no four numbers"),
        ("1,2,3,4,5", "no four numbers"),
        ("a,b,c,d", "no four numbers"),
        ("nan,0,1,1", "no four numbers"),
        ("0,0,inf,10", "no four numbers"),
        ("-1,0,10,10", "begins before"),
        ("0,0,0,10", "is empty"),
        ("0,0,0.5,0", "is empty"),
        ("0.5,0,100,100", "whole numbers"),
        ("0,0,10.5,10", "whole numbers"),
        ("0.6,0,0.6,1", "outside"),
    ],
)
def test_what_is_no_rectangle_is_refused_at_once_with_how_to_write_one(text, says):
    with pytest.raises(ValueError, match=rf"{says}.* Write x,y,width,height"):
        Crop.parse(text)


@pytest.mark.parametrize("text", ["100,0,100,50", "0,0,161,10", "0.999,0,0.001,1"])
def test_what_does_not_lie_in_the_cameras_picture_is_found_when_that_is_seen(text):
    with pytest.raises(CropOutside, match="160x120"):
        Crop.parse(text).cut(np.zeros((120, 160, 3), np.uint8))


@given(st.data())
def test_a_box_of_the_part_lies_in_the_whole_where_it_lies_in_the_part(data):
    height, width = data.draw(st.integers(1, 2000)), data.draw(st.integers(1, 2000))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    wide, tall = data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    if max(left, top, wide, tall) <= 1:
        return  # these four would be fractions
    crop = Crop(left, top, wide, tall)
    (box,) = crop.in_whole([Box("thing", 0.25, 0.5, 0.75, 1.0)], height, width)
    (all_of_it,) = crop.in_whole([Box("all", 0, 0, 1, 1)], height, width)

    assert crop.size(height, width) == (tall, wide)
    assert box.x1 * width == pytest.approx(left + wide / 4)
    assert box.y2 * height == pytest.approx(top + tall)
    assert 0 <= all_of_it.x1 < all_of_it.x2 <= 1 and 0 <= all_of_it.y1 < all_of_it.y2 <= 1


def test_the_model_sees_the_part_and_everybody_hears_of_the_whole():
    """Also who asks from outside."""
    film = [frame(number / 2, (100, 200)) for number in range(4)]
    for each in film:
        each.pixels[:, 100:] = 255
    sizes, outside = [], []
    engine, sink = (
        FakeEngine(PART, on_append=lambda group: outside.append(session.ask(Describe("And now?")))),
        FakeSink(),
    )
    session = Session(
        FakeSource(film), engine, [Ground("dog")], [sink], fps=2, window=4,
        choose_size=lambda *size: sizes.append(size) or (28, 28), crop=Crop(0.5, 0, 0.5, 1),
    )  # fmt: skip
    session.run()

    assert sizes == [(100, 100)]
    assert all(group.pixels.min() == 255 for group in engine.appended)
    assert sink.events[-1].boxes == (Box("dog", 0.5, 0, 0.75, 1),)
    assert sink.pictures[-1].shape == (100, 200, 3)
    assert outside[0].result(0).boxes[0].x1 == 0.5


def test_a_part_outside_of_the_cameras_picture_ends_its_session_with_that_name_and_every_frame_counted():
    session = Session(
        FakeSource([frame(0.0, (100, 200))]), FakeEngine(), [Describe()], fps=2, window=4, size=(28, 28),
        crop=Crop(150, 0, 100, 100),
    )  # fmt: skip
    summary = session.run()

    assert isinstance(session.error, CropOutside)
    assert summary.ended == "STREAM_CROP_OUTSIDE" and summary.dropped == {"bad_picture": 1}
