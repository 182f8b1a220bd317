import itertools
import signal
import threading
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import BadPicture, ConnectionFailed
from stream.event import Event, rfc3339
from stream.frame import Frame, LazyPicture
from stream.ledger import FramesUnaccounted
from stream.sampler import FrameSampler
from stream.session import Session
from stream.tasks.ask import Ask
from stream.tasks.describe import Describe
from stream.tasks.ground import Ground
from stream.testing import FakeEngine, FakeReply, FakeSink, FakeSource, frame, frames

SIZE = (28, 28)


class Stage:
    """A session with its law checked at every group, every answer and every event."""

    def __init__(self, source, *, tasks=None, sinks=(), answers="A dog.", on_append=None, on_answer=None, **more):
        self.sink = FakeSink()
        self.engine = FakeEngine(
            answers,
            on_append=lambda group: (self.check(), on_append and on_append(group)),
            on_answer=lambda prompt: (self.check(), on_answer and on_answer(prompt)),
        )
        self.source = source
        self.session = Session(
            source,
            self.engine,
            [Describe()] if tasks is None else tasks,
            [self, *sinks, self.sink],
            **{"fps": 2.0, "window": 4, "size": SIZE, **more},
        )
        self.num_checks = 0
        self.broken = []

    def check(self):
        self.num_checks += 1
        try:
            self.session.ledger.check()
        except FramesUnaccounted as error:  # kept, because a session survives a failing sink
            self.broken.append(error)

    def publish(self, event, picture):
        self.check()

    def close(self):
        self.check()

    def run(self):
        summary = self.session.run()
        counts = self.session.ledger.check()
        assert counts.pending == summary.pending == 0
        assert summary.received == summary.analysed + sum(summary.dropped.values())
        assert self.num_checks > 0
        assert self.broken == []
        assert self.sink.is_closed
        assert self.source.closed
        return summary

    @property
    def indices(self):
        return [group.index for group in self.engine.appended]

    @property
    def ends(self):
        return [event.end for event in self.sink.events]


# A file


def test_a_file_loses_nothing_and_is_answered_at_every_group():
    stage = Stage(FakeSource(frames(20, 4.0)))
    summary = stage.run()

    assert stage.indices == [0, 1, 2, 3, 4]
    assert (summary.received, summary.sampled, summary.analysed) == (20, 10, 10)
    assert summary.dropped == {"between_samples": 10}
    assert (summary.groups, summary.events, summary.ended) == (5, 5, "end of file")
    assert [event.groups for event in stage.sink.events] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 4)]


@pytest.mark.parametrize("max_age, stale", [(None, False), (98.4, True), (98.5, False), (0.0, True)])
def test_an_answer_that_is_older_than_wanted_is_stale(max_age, stale):
    stage = Stage(FakeSource(frames(4, 2.0)), max_age=max_age, clock=itertools.count(100.0, 0.0).__next__)
    stage.run()
    event = stage.sink.events[-1]
    assert (event.age, event.stale) == (98.5, stale)
    assert Event.from_dict(event.to_dict()).stale is stale


def test_an_event_says_everything_about_its_answer():
    clock = itertools.count(100.0, 0.0).__next__
    stage = Stage(
        FakeSource(frames(4, 2.0, (30, 40)), name="rtsp://cam"), name="door", clock=clock, wall_clock=lambda: 1e9
    )
    stage.run()
    event = stage.sink.events[-1]

    assert (event.stream, event.task, event.seq, event.groups) == ("door", "describe", 1, (0, 1))
    assert (event.start, event.end, event.clock) == (0.0, 1.5, "synthetic")
    assert event.age == pytest.approx(100.0 - 1.5)
    assert (event.text, event.finish, event.model, event.variant) == ("A dog.", "stop", "fake", "none")
    assert (event.span, event.seconds, event.question) == (1.5, 2.0, "Describe the video.")
    assert event.time == rfc3339(1e9 - (100.0 - 1.5))
    assert len({event.id for event in stage.sink.events}) == 2
    assert stage.sink.pictures[-1].shape == (30, 40, 3)


def test_every_task_is_asked_about_the_same_window():
    def answer(prompt, window):
        return "<|box_start|>(100,200),(300,400)<|box_end|>" if "Find" in prompt else "Yes"

    tasks = [Describe(), Ground("dog"), Ground("cat"), Ask("Is there a dog?")]
    stage = Stage(FakeSource(frames(4, 2.0)), tasks=tasks, answers=answer)
    stage.run()
    events = stage.sink.events

    assert [event.task for event in events] == ["describe", "ground:dog", "ground:cat", "ask"] * 2
    assert [event.seq for event in events] == list(range(8))
    assert len({event.groups for event in events[:4]}) == 1
    assert events[1].boxes[0].label == "dog"
    assert (events[3].answer, events[3].p_yes) == ("yes", 0.5)


def test_boxes_in_pixels_are_those_of_the_frame_as_the_model_saw_it():
    answer = '[{"bbox_2d": [140, 84, 1400, 420], "label": "dog"}, {"bbox_2d": [5, 5, 5, 5], "label": "cat"}]'
    stage = Stage(FakeSource(frames(2, 2.0)), tasks=[Ground("dog")], answers=answer, size=(840, 1400))
    stage.run()
    (event,) = stage.sink.events
    (box,) = event.boxes

    assert (box.x1, box.y1, box.x2, box.y2) == (0.1, 0.1, 1.0, 0.5)
    assert event.flags == ("degenerate",)


@pytest.mark.parametrize(
    ("every", "ends"),
    [
        (0.0, [0.5, 1.5, 2.5, 3.5, 4.5]),
        (1.0, [0.5, 1.5, 2.5, 3.5, 4.5]),
        (2.0, [0.5, 2.5, 4.5]),
        (3.0, [0.5, 3.5, 4.5]),  # the end of a file is always answered
        (60.0, [0.5, 4.5]),
    ],
)
def test_answers_come_every_so_many_seconds_of_video(every, ends):
    stage = Stage(FakeSource(frames(10, 2.0)), every=every)
    stage.run()

    assert stage.ends == ends


def test_rounding_of_times_does_not_delay_an_answer():
    stage = Stage(FakeSource(frames(60, 3.0)), fps=3.0, every=2 / 3)
    stage.run()

    assert len(stage.ends) == 30


def test_duration_of_a_file_counts_its_own_time():
    stage = Stage(FakeSource(frames(100, 2.0, start=50.0)), duration=3.0)
    summary = stage.run()

    assert stage.indices == [50, 51, 52]
    assert summary.ended == "duration"
    assert summary.dropped["stopped"] == summary.received - 6


def test_a_file_with_a_gap_is_answered_on_both_sides_of_it():
    stage = Stage(FakeSource([*frames(4, 2.0), *frames(4, 2.0, start=60.0)]))
    stage.run()

    assert [event.groups for event in stage.sink.events] == [(0, 0), (0, 1), (60, 60), (60, 61)]


def test_an_empty_file_gives_no_event():
    summary = Session(FakeSource([]), FakeEngine(), [Describe()], fps=2, window=4, size=SIZE).run()

    assert (summary.events, summary.age_p50, summary.ended) == (0, None, "end of file")


def test_an_event_tells_how_many_tokens_a_draft_had_right(monkeypatch):
    monkeypatch.setattr("stream.testing.FakeReply", partial(FakeReply, accepted=3))
    stage = Stage(FakeSource(frames(4, 2.0)))
    stage.run()

    assert {event.accepted for event in stage.sink.events} == {3}


def test_the_size_may_be_chosen_from_the_first_frame():
    stage = Stage(FakeSource(frames(4, 2.0, (40, 90))), size=None, choose_size=lambda height, width: (28, 56))
    stage.run()

    assert {group.pixels.shape for group in stage.engine.appended} == {(2, 28, 56, 3)}


def test_a_change_of_resolution_is_counted():
    summary = Stage(FakeSource([*frames(3, 2.0), *frames(3, 2.0, (40, 40), start=1.5)])).run()

    assert summary.resolution_changes == 1


def test_the_text_can_be_watched_while_it_is_made():
    pieces = []
    stage = Stage(FakeSource(frames(2, 2.0)), on_text=lambda task, piece: pieces.append((task.name, piece)))
    stage.run()

    assert pieces == [("describe", "A"), ("describe", " dog.")]


# A live source


def test_a_slow_engine_on_a_live_source_drops_the_oldest_and_says_so():
    source = FakeSource(frames(40, 2.0), live=True)
    stage = Stage(source, on_append=lambda group: source.delivered.wait(10))
    summary = stage.run()
    first_round = stage.indices[:-4] or stage.indices

    assert stage.indices[-4:] == [16, 17, 18, 19]  # the newest window
    assert len(stage.indices) <= 8
    assert summary.dropped["overrun"] == 40 - 2 * len(stage.indices)
    assert summary.received == 40
    assert first_round


def test_every_round_takes_all_that_waits_and_answers_once():
    source = FakeSource(frames(20, 2.0), live=True)
    stage = Stage(source, window=99, on_answer=lambda prompt: source.delivered.wait(10))
    summary = stage.run()

    assert summary.groups == 10
    assert summary.events <= 2
    assert stage.ends[-1] == 9.5


def test_duration_of_a_live_source_counts_the_wall_even_when_nothing_comes():
    silence = threading.Event()
    stage = Stage(FakeSource([*frames(4, 2.0), silence], live=True), duration=0.05)
    summary = stage.run()

    assert summary.ended == "duration"
    assert summary.received == 4


def test_duration_ends_a_busy_live_source():
    now = [0.0]
    busy = FakeSource([*frames(400, 2.0), threading.Event()], live=True)
    stage = Stage(busy, duration=20.0, clock=lambda: now[0], on_append=lambda group: now.__setitem__(0, now[0] + 30.0))
    summary = stage.run()

    assert summary.ended == "duration"
    assert summary.groups <= 4  # one round


# Stopping


@pytest.mark.parametrize("live", [True, False])
def test_stopping_from_another_thread_accounts_for_everything(live):
    silence = threading.Event()
    source = FakeSource([*frames(5, 2.0), silence, *frames(5, 2.0, start=2.5)], live=live)
    reached = threading.Event()
    stage = Stage(source, on_append=lambda group: reached.set())
    stopper = threading.Thread(target=lambda: (reached.wait(10), stage.session.stop()))
    stopper.start()
    summary = stage.run()
    stopper.join()

    assert summary.ended == "stopped"
    assert summary.dropped.get("stopped", 0) >= 1  # at least the unfinished group's frame


def test_stopping_from_a_signal_handler_wakes_the_run():
    stage = Stage(FakeSource([*frames(3, 2.0), threading.Event()], live=True))
    before = signal.signal(signal.SIGUSR1, lambda number, stack: stage.session.stop())
    waker = threading.Thread(
        target=lambda: (answered.wait(10), signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1))
    )
    answered = threading.Event()
    stage.sink.publish = lambda event, picture: answered.set()
    waker.start()
    try:
        summary = stage.run()
    finally:
        waker.join()
        signal.signal(signal.SIGUSR1, before)

    assert (summary.ended, summary.dropped) == ("stopped", {"stopped": 1})


def test_stop_in_the_middle_of_a_round_analyses_no_more_of_it():
    first_answer = threading.Event()
    source = FakeSource([*frames(2, 2.0), first_answer, *frames(38, 2.0, start=1.0)], live=True)

    def fill_the_mailbox(prompt):
        first_answer.set()
        source.delivered.wait(10)

    def stop_at_the_second_group(group):
        if len(stage.engine.appended) == 2:
            stage.session.stop()

    stage = Stage(source, on_append=stop_at_the_second_group, on_answer=fill_the_mailbox)
    summary = stage.run()

    assert (summary.ended, summary.groups) == ("stopped", 2)
    assert summary.dropped == {"overrun": 30, "stopped": 6}


def test_stop_ends_an_answer_in_the_middle():
    stage = Stage(FakeSource(frames(20, 2.0)), answers="word " * 1000, on_text=lambda task, piece: stage.session.stop())
    summary = stage.run()

    assert (summary.events, summary.ended) == (0, "stopped")


def test_stop_during_a_read_that_does_not_return_ends_the_run(monkeypatch):
    monkeypatch.setattr("stream.reader.JOIN_TIMEOUT", 0.01)
    wedged = threading.Event()
    source = FakeSource([*frames(3, 2.0), wedged, *frames(3, 2.0, start=1.5)], deaf=True)
    stage = Stage(source, on_append=lambda group: stage.session.stop())
    summary = stage.run()
    left_behind = [thread for thread in threading.enumerate() if thread.name == "reader of fake"]

    assert summary.ended == "stopped"
    wedged.set()  # the read returns after all
    for thread in left_behind:
        thread.join(10)
    assert stage.session.ledger.check().received == summary.received


def test_stop_before_the_run_analyses_nothing():
    session = Session(FakeSource(frames(20, 2.0)), FakeEngine(), [], fps=2, window=4, size=SIZE)
    session.stop()
    summary = session.run()

    assert (summary.groups, summary.pending, summary.ended) == (0, 0, "stopped")


def test_a_session_runs_once():
    session = Session(FakeSource([]), FakeEngine(), [], fps=2, window=4, size=SIZE)
    session.run()

    with pytest.raises(RuntimeError, match="open another"):
        session.run()


# Failing


@pytest.mark.parametrize("live", [True, False])
def test_a_source_error_ends_the_session_after_the_groups_at_hand(live):
    error = ConnectionFailed("rtsp://cam: the server closed the connection.")
    stage = Stage(FakeSource([*frames(5, 2.0), error], live=live), every=60.0)
    summary = stage.run()

    assert stage.indices == [0, 1, 2]
    assert summary.ended == "STREAM_CONNECTION_FAILED"
    assert summary.error == str(error)
    assert stage.session.error is error


def test_a_defect_in_a_source_is_raised_and_everything_is_closed():
    stage = Stage(FakeSource([*frames(4, 2.0), ZeroDivisionError("oops")]))

    with pytest.raises(ZeroDivisionError):
        stage.session.run()
    assert stage.sink.is_closed
    assert stage.session.ledger.check().pending == 0


def test_a_defect_in_the_engine_is_raised_and_everything_is_closed():
    stage = Stage(FakeSource(frames(20, 2.0), live=True), on_append=lambda group: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        stage.session.run()
    assert stage.sink.is_closed and stage.source.closed
    assert stage.session.ledger.check().pending == 0


def test_a_picture_the_model_cannot_take_ends_the_session_with_its_name():
    def choose(height, width):
        raise BadPicture("1x300")

    summary = Stage(FakeSource(frames(4, 2.0)), size=None, choose_size=choose).run()

    assert summary.ended == "STREAM_BAD_PICTURE"
    assert summary.dropped == {"bad_picture": 1}


class BrokenSink:
    def publish(self, event, picture):
        raise OSError("disk full")

    def close(self):
        raise OSError("still full")


def test_a_failing_sink_is_logged_once_and_counted_and_stops_nobody(caplog):
    stage = Stage(FakeSource(frames(20, 2.0)), sinks=[BrokenSink()])
    summary = stage.run()

    assert len(stage.sink.events) == summary.events == 10
    assert summary.sink_errors == 11
    assert [record.message for record in caplog.records] == [
        "BrokenSink failed and goes on being tried: OSError: disk full"
    ]


def test_a_sink_that_works_again_is_logged(caplog):
    class Moody(FakeSink):
        def publish(self, event, picture):
            if event.seq == 0:
                raise OSError("busy")

    stage = Stage(FakeSource(frames(6, 2.0)), sinks=[Moody()])
    summary = stage.run()

    assert summary.sink_errors == 1
    assert caplog.records[-1].message == "Moody works again"


@pytest.mark.parametrize("half", [1, 3])
def test_a_picture_of_another_size_that_cannot_be_converted_costs_no_frame_before_it(half):
    def broken():
        raise BadPicture("it cannot become RGB")

    after = (half + 1) / 2.0  # beyond the slot that the half group takes when it is completed
    last = Frame(LazyPicture((40, 40, 3), broken), after, after, "file")
    stage = Stage(FakeSource([*frames(half, 2.0), last]))
    summary = stage.run()

    assert (summary.received, summary.analysed, summary.dropped) == (half + 1, half, {"bad_picture": 1})


def test_a_session_ends_though_the_last_half_group_cannot_be_finished(monkeypatch):
    def broken(sampler):
        raise MemoryError("no room for a group")

    monkeypatch.setattr(FrameSampler, "flush", broken)
    stage = Stage(FakeSource(frames(3, 2.0)))
    with pytest.raises(MemoryError):
        stage.session.run()

    counts = stage.session.ledger.check()
    assert (counts.received, counts.analysed, counts.dropped, counts.pending) == (3, 2, {"stopped": 1}, 0)


def test_a_source_that_does_not_close_is_logged(caplog):
    class Stubborn(FakeSource):
        def close(self):
            super().close()
            raise OSError("no")

    assert Stage(Stubborn(frames(4, 2.0))).run().ended == "end of file"
    assert "did not close" in caplog.text


@pytest.mark.parametrize("wrong", [{"window": 0}, {"every": -1.0}, {"duration": -1.0}, {"fps": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        Stage(FakeSource([]), **wrong)


# Numbers


def test_the_summary_is_json_and_knows_reconnects():
    source = FakeSource(frames(4, 2.0))
    source.reconnects = 3
    fields = Stage(source).run().to_dict()

    assert fields["reconnects"] == 3
    assert fields["age_p50"] <= fields["age_p99"]
    assert fields["seconds"] >= 0


def test_the_numbers_can_be_read_while_it_runs():
    seen = []
    stage = Stage(FakeSource(frames(8, 2.0)), on_append=lambda group: seen.append(stage.session.summary()))
    stage.run()

    assert {summary.ended for summary in seen} <= {"running"}
    assert [summary.groups for summary in seen] == [0, 1, 2, 3]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from([28, 40])), max_size=30),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 7.0]),
    st.integers(1, 5),
    st.integers(0, 12),
)
def test_whatever_comes_and_whenever_it_stops_the_law_holds(steps, live, every, window, stop_after):
    times = list(itertools.accumulate(step for step, _ in steps))
    script = [frame(pts, (side, side)) for pts, (_, side) in zip(times, steps, strict=True)]

    def on_append(group):
        if len(stage.engine.appended) == stop_after:
            stage.session.stop()

    stage = Stage(FakeSource(script, live=live), every=every, window=window, on_append=on_append)
    summary = stage.run()

    assert summary.received <= len(script)
    if not live and summary.ended == "end of file":
        assert summary.analysed == summary.sampled
        assert stage.ends[-1:] == [group.pts[1] for group in stage.engine.appended[-1:]]
