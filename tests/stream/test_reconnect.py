from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from stream.errors import AuthenticationFailed, ConnectionFailed, SourceNotFound, Stalled
from stream.frame import Frame
from stream.sources import Source
from stream.sources.reconnect import AFTER_REFUSED_LOGIN, ENDED, Backoff, Reconnecting, Status
from stream.testing import FakeSource, frame

Script = list[Frame | BaseException | threading.Event]


class Waits:
    """Remembers how long would have been waited; ends everything after `limit` waits."""

    def __init__(self, limit: int = 1000) -> None:
        self.seconds: list[float] = []
        self.source: Reconnecting | None = None
        self._limit = limit

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._limit and self.source is not None:
            self.source.close()


def connecting(*scripts: Script) -> Callable[[], Source]:
    """One live source after the other."""
    coming = iter(scripts)
    return lambda: FakeSource(next(coming), live=True)


def reconnecting(
    *scripts: Script, patient: bool = False, chance: float = 0.5, on_status: Callable[[Status], object] = print
) -> tuple[Reconnecting, Waits]:
    waits = Waits(len(scripts))
    waits.source = Reconnecting(
        connecting(*scripts),
        name="camera",
        patient=patient,
        wait=waits,
        chance=lambda: chance,
        on_status=on_status,
    )
    return waits.source, waits


def at(*moments: float) -> Script:
    """Frames of a clock that is the arrival itself."""
    return [frame(moment, captured=moment, clock="arrival") for moment in moments]


def test_the_end_of_a_live_stream_is_a_disconnect() -> None:
    source, waits = reconnecting(at(100, 101), at(110, 111))
    assert [frame.pts for frame in source] == [0, 1, 10, 11]
    assert source.reconnects == 1 and source.causes == {ENDED: 1}
    assert waits.seconds == [0.5, 0.5]


def test_a_new_connection_with_another_clock_goes_on_as_the_real_time_does() -> None:
    second: Script = [frame(7000 + moment, captured=200 + moment) for moment in range(3)]
    source, _ = reconnecting(at(100, 101), second)
    frames = list(source)
    assert [frame.pts for frame in frames] == [0, 1, 100, 101, 102]
    assert {frame.clock for frame in frames} == {"arrival"}


def test_time_never_goes_back() -> None:
    early: Script = [frame(5, captured=101), frame(3, captured=102), frame(6.5, captured=103)]
    source, _ = reconnecting(at(100, 103), early)
    assert [frame.pts for frame in source] == [0, 3, 3, 3, 3]


def test_failures_are_counted_by_what_ended_the_picture() -> None:
    source, _ = reconnecting(
        [*at(1), Stalled("silent")],
        [ConnectionFailed("refused")],
        [*at(9), Stalled("silent")],
        at(20),
        at(30),
    )
    assert [frame.pts for frame in source] == [0, 8, 19, 29]
    assert source.causes == {"STREAM_TIMEOUT": 2, ENDED: 1}
    assert source.reconnects == 3


def test_the_first_failure_is_heard_of_at_once() -> None:
    source, waits = reconnecting([SourceNotFound("no such path")])
    with pytest.raises(SourceNotFound, match="no such path"):
        list(source)
    assert waits.seconds == []
    assert source.status == Status("closed", "no such path", "STREAM_NOT_FOUND")


def test_a_first_connection_without_a_picture_is_a_failure_too() -> None:
    source, _ = reconnecting([])
    with pytest.raises(ConnectionFailed, match="camera"):
        list(source)


class Recording(FakeSource):
    """Shows itself as one when it is opened."""

    def __iter__(self) -> Iterator[Frame]:
        self.live, self.clock_restarts = False, 2
        return super().__iter__()


def recording(script: Script, *, patient: bool = False) -> Reconnecting:
    once = iter([Recording(script, live=True)])
    return Reconnecting(lambda: next(once), name="clip", patient=patient, wait=lambda seconds: None)


@pytest.mark.parametrize("patient", [False, True])
def test_a_recording_that_breaks_off_in_its_middle_is_not_begun_again(patient: bool) -> None:
    source = recording([*at(100, 101), ConnectionFailed("the connection broke off")], patient=patient)
    frames = iter(source)
    assert [next(frames).pts, next(frames).pts] == [0, 1]
    with pytest.raises(ConnectionFailed, match="broke off"):
        next(frames)
    assert source.status.code == "STREAM_CONNECTION_FAILED" and source.status.state == "closed"


def test_a_recording_tells_how_often_its_clock_began_again() -> None:
    source = recording(at(100, 101))
    assert source.clock_restarts == 0
    assert len(list(source)) == 2
    assert source.clock_restarts == 2


def test_the_patient_wait_for_the_first_connection() -> None:
    source, waits = reconnecting([ConnectionFailed("refused")], [ConnectionFailed("refused")], at(7), patient=True)
    assert [frame.pts for frame in source] == [0]
    assert waits.seconds == [0.5, 1.0, 0.5]
    assert source.reconnects == 0  # nothing was lost


def test_the_patient_do_not_knock_again_with_a_wrong_password() -> None:
    refused = AuthenticationFailed("another password")
    source, waits = reconnecting([ConnectionFailed("refused")], [refused], at(7), patient=True)
    with pytest.raises(AuthenticationFailed):
        list(source)
    assert waits.seconds == [0.5]
    assert source.status.state == "closed"


def test_the_waiting_grows_to_its_longest_and_begins_anew_after_a_picture() -> None:
    refused: Script = [ConnectionFailed("refused")]
    source, waits = reconnecting(at(1), *[refused] * 6, at(50), refused)
    list(source)
    assert waits.seconds == [0.5, 1, 2, 4, 8, 10, 10, 0.5, 1]


def test_a_refused_login_is_tried_again_slowly() -> None:
    refused: Script = [AuthenticationFailed("another password")]
    source, waits = reconnecting(at(1), *[refused] * 6)
    list(source)
    assert waits.seconds == [0.5, 60, 120, 240, 300, 300, 300]


def test_a_refused_login_waits_half_a_minute_at_least() -> None:
    assert AFTER_REFUSED_LOGIN.delay(1, 0.5) == 30


def test_chance_spreads_the_attempts() -> None:
    backoff = Backoff(first=1, longest=8, factor=2, jitter=0.25)
    assert [backoff.delay(3, chance) for chance in (0, 0.5, 1)] == [3, 4, 5]
    assert backoff.delay(100_000, 0.5) == 8


def test_every_state_is_told() -> None:
    states: list[Status] = []
    source, _ = reconnecting([*at(1), Stalled("silent")], at(9), on_status=states.append)
    list(source)
    ended = "camera: the other side ended the stream."
    assert states == [
        Status("connecting"),
        Status("up"),
        Status("waiting", "silent", "STREAM_TIMEOUT", 0.5),
        Status("connecting", "silent", "STREAM_TIMEOUT"),
        Status("up"),
        Status("waiting", ended, ENDED, 0.5),
        Status("closed"),
    ]
    assert source.status == Status("closed")


def test_close_ends_a_wait_at_once() -> None:
    waiting = threading.Event()
    source = Reconnecting(
        connecting(at(1)),
        name="camera",
        backoff=Backoff(first=1000, longest=1000),
        on_status=lambda status: waiting.set() if status.state == "waiting" else None,
    )
    reader = threading.Thread(target=lambda: list(source), daemon=True)
    reader.start()
    assert waiting.wait(10)
    source.close()
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert source.status.state == "closed"


def test_close_ends_a_connection_that_gives_nothing() -> None:
    never = threading.Event()
    up = threading.Event()
    source = Reconnecting(
        connecting([*at(1), never]),
        name="camera",
        on_status=lambda status: up.set() if status.state == "up" else None,
    )
    reader = threading.Thread(target=lambda: list(source), daemon=True)
    reader.start()
    assert up.wait(10)
    source.close()
    reader.join(10)
    assert not reader.is_alive()


def test_a_closed_source_gives_nothing() -> None:
    source, _ = reconnecting(at(1))
    source.close()
    assert list(source) == []


def test_every_connection_is_closed() -> None:
    opened: list[FakeSource] = []
    scripts = iter([at(1), at(2), at(3)])

    def connect() -> Source:
        opened.append(FakeSource(next(scripts), live=True))
        return opened[-1]

    waits = Waits(limit=3)
    waits.source = Reconnecting(connect, name="camera", wait=waits)
    list(waits.source)
    assert [source.closed for source in opened] == [True] * 3


def test_whoever_stops_listening_closes_the_connection() -> None:
    opened = FakeSource(at(1, 2, 3), live=True)
    frames: Iterator[Frame] = iter(Reconnecting(lambda: opened, name="camera"))
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert opened.closed


def test_a_recording_that_shows_itself_on_opening_has_an_end() -> None:
    source = Reconnecting(lambda: FakeSource(at(1, 2), live=False), name="camera")
    assert [frame.pts for frame in source] == [0, 1]
    assert source.status.state == "closed"


def test_a_defect_is_not_retried() -> None:
    source, _ = reconnecting([*at(1), ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        list(source)
