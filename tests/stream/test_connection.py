"""What a time without pictures means, on a connection whose other side is a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from itertools import count, pairwise
from typing import Any

import pytest

from stream.errors import SourceUnreadable, Stalled, StreamError
from stream.frame import Frame
from stream.sources import connection as module
from stream.sources.connection import Connection
from stream.testing import frame

LONG = 20.0  # seconds; only a failing test waits that long
Items = Generator[Frame | None, None, None]


def too_late(opening: bool) -> StreamError:
    return Stalled("opening" if opening else "reading")


def connect(read: Callable[[], Items], **options: Any) -> Connection:
    return Connection("camera", read, too_late, **{"open_timeout": LONG, "read_timeout": LONG, **options})


def picture(moment: float, arrived: float | None = None) -> Frame:
    return frame(moment, captured=moment if arrived is None else arrived, clock="arrival")


def script(*items: Frame | None) -> Callable[[], Items]:
    def read() -> Items:
        yield from items

    return read


def test_pictures_come_as_they_were_read() -> None:
    pictures = [picture(1), picture(1.5), picture(2.5)]
    assert list(connect(script(None, *pictures)).frames()) == pictures


def test_nothing_at_all_is_too_late() -> None:
    released = threading.Event()

    def silent() -> Items:
        released.wait(LONG)
        yield None

    with pytest.raises(Stalled, match="opening"):
        list(connect(silent, open_timeout=0.02).frames())
    released.set()


def test_nothing_any_more_is_too_late() -> None:
    released = threading.Event()

    def falls_silent() -> Items:
        yield None
        yield picture(1)
        released.wait(LONG)

    frames = connect(falls_silent, read_timeout=0.05).frames()
    assert next(frames).pts == 1
    with pytest.raises(Stalled, match="reading"):
        next(frames)
    released.set()


# A wait for a keyframe


def joined_late(packets: int) -> Callable[[], Items]:
    """Data without a picture every ten milliseconds, and then one."""

    def read() -> Items:
        pause = threading.Event()
        yield None
        for _ in range(packets):
            pause.wait(0.01)
            yield None
        yield picture(1)

    return read


def test_a_wait_for_a_keyframe_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    assert next(connect(joined_late(20), patience=0.05).frames()).pts == 1
    assert [record.getMessage().count("keyframe") > 0 for record in caplog.records] == [True]


def test_a_camera_without_keyframes_is_given_advice_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    list(connect(joined_late(20), patience=0.05, why_undecoded="broken pictures").frames())
    assert "no picture yet: broken pictures" in caplog.text and "keyframe" not in caplog.text


def test_a_short_wait_for_a_keyframe_is_not_worth_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert next(connect(joined_late(3), patience=LONG).frames()).pts == 1
    assert not caplog.records


def test_data_that_never_becomes_a_picture_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NO_PICTURE", 0.1)
    with pytest.raises(SourceUnreadable, match="no picture"):
        next(connect(joined_late(1000)).frames())


def test_progress_tells_what_came_before_the_picture() -> None:
    watched = connect(joined_late(5))
    assert (watched.progress.opened, watched.progress.first_data) == (None, None)
    next(watched.frames())
    opened, first_data = watched.progress.opened, watched.progress.first_data
    assert opened is not None and first_data is not None and opened <= first_data


# A picture that stands


def only_heard(watched: list[Connection], until: threading.Event, then: list[Frame]) -> Items:
    """One picture, then nothing but sound, and more pictures when the test has seen enough."""
    yield None
    yield picture(1)
    while not until.wait(0.005):
        watched[0].heard()
    yield from then


def still(then: list[Frame], **options: Any) -> tuple[Iterator[Frame], threading.Event]:
    until = threading.Event()
    watched: list[Connection] = []
    watched.append(connect(lambda: only_heard(watched, until, then), step=0.02, **options))
    return watched[0].frames(), until


def test_while_sound_comes_the_last_picture_stands() -> None:
    frames, until = still([], read_timeout=0.1)
    first = next(frames)
    held = [next(frames) for _ in range(20)]  # four times as long as silence may last
    until.set()
    assert all(frame.held and frame.pixels is first.pixels for frame in held)
    assert all(a.pts < b.pts for a, b in pairwise([first, *held]))
    assert all(frame.pts < frame.captured for frame in held)


def test_a_file_that_nobody_read_for_a_while_gets_no_pictures_between() -> None:
    until = threading.Event()
    watched: list[Connection] = []

    def read() -> Items:
        yield None
        yield frame(1, captured=1, clock="file")  # long ago: its reader has rested
        for _ in range(40):
            until.wait(0.005)
            watched[0].heard()
        yield frame(1.1, clock="file")

    watched.append(connect(read, step=0.02, read_timeout=LONG))
    assert [(frame.pts, frame.held) for frame in watched[0].frames()] == [(1, False), (1.1, False)]


def test_a_picture_after_a_still_is_never_earlier_than_it() -> None:
    frames, until = still([picture(1.001)], read_timeout=1)
    next(frames)
    held = next(frames)
    until.set()
    newest = [frame for frame in frames if not frame.held]
    assert len(newest) == 1 and newest[0].pts >= held.pts


def test_a_still_has_its_limit() -> None:
    frames, until = still([], read_timeout=0.5, longest_still=0.2)
    with pytest.raises(Stalled, match="stood"):
        for number in count():
            assert number < 1000
            next(frames)
    until.set()


def test_a_hole_on_a_connection_that_loses_nothing_was_a_still() -> None:
    pictures = [picture(10), picture(14.5, arrived=14.6)]
    frames = list(connect(script(None, *pictures), read_timeout=5).frames())
    assert [(frame.pts, frame.held) for frame in frames] == [
        *((10, False), (11, True), (12, True), (13, True), (14, True), (14.5, False))
    ]
    assert all(a.captured <= b.captured for a, b in pairwise(frames))


@pytest.mark.parametrize(
    ("items", "options"),
    [
        ([picture(10), picture(14.5)], {"silent_means_still": False}),  # over UDP it may have been lost
        ([picture(10), None, picture(14.5)], {}),  # something was sent, and could not be decoded
        ([picture(10), picture(34.5)], {"read_timeout": 5}),  # longer than a connection may be silent
        ([frame(10, clock="file"), frame(14.5, clock="file")], {}),  # a file's holes are the sampler's
    ],
)
def test_what_is_not_known_to_have_stood_is_not_held(items: list[Frame | None], options: dict[str, Any]) -> None:
    frames = list(connect(script(None, *items), **options).frames())
    assert frames == [item for item in items if item is not None]


# The end


@pytest.mark.parametrize("by_close", [True, False])
def test_who_stops_watching_has_said_goodbye(by_close: bool) -> None:
    gone = threading.Event()

    def read() -> Items:
        try:
            yield None
            for moment in count(1):
                yield picture(moment)
        finally:
            gone.set()

    watched = connect(read)
    frames = watched.frames()
    next(frames)
    if by_close:
        watched.close()
        assert list(frames) == []
    else:
        frames.close()  # type: ignore[attr-defined]
    assert gone.is_set()


def test_a_read_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOODBYE", 0.01)
    hanging, released = threading.Event(), threading.Event()

    def read() -> Items:
        yield None
        yield picture(1)
        hanging.set()
        released.wait(LONG)

    watched = connect(read)
    frames = watched.frames()
    next(frames)
    assert hanging.wait(LONG)
    watched.close()
    assert list(frames) == []
    assert not released.is_set()
    released.set()
