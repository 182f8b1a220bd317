import contextlib
import io
import json
import os
import time
from dataclasses import replace
from datetime import datetime
from itertools import count

import av
import numpy as np
import pytest
from rich.console import Console

from stream.errors import ReaderGone, SinkUnwritable
from stream.event import Box, Event, rfc3339
from stream.sinks import SINKS
from stream.sinks.draw import BAR, MAX_WIDTH, PALETTE, Sheet
from stream.sinks.jsonl import JsonlSink
from stream.sinks.overlay import OverlaySink
from stream.sinks.stdout import PipeConsole, StdoutSink, line
from stream.sinks.wording import stream_time, when

EVENT = Event(
    stream="door",
    task="describe",
    seq=0,
    groups=(0, 3),
    start=0.0,
    end=3.5,
    clock="file",
    age=0.42,
    text="A red circle moves to the left.",
    finish="stop",
    boxes=(Box("circle", 0.2, 0.3, 0.5, 0.8),),
    span=3.5,
)
PICTURE = np.full((120, 160, 3), 90, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


def at(end, **changes):
    return replace(EVENT, end=end, groups=(int(end), int(end) + 3), **changes)


def pictures(path):
    with av.open(str(path)) as file:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


# stdout


def printed(sink_of, *events):
    output = io.StringIO()
    sink = sink_of(Console(file=output, width=200, soft_wrap=True))
    for event in events:
        sink.publish(event, PICTURE)
    sink.close()
    return output.getvalue()


def test_a_line_says_when_who_how_old_what_and_where():
    (text,) = printed(lambda console: StdoutSink(console=console), EVENT).splitlines()

    for part in (
        "0:03.5",
        "describe",
        "0.42 s old",
        "of the last 3.5 s",
        "A red circle moves to the left.",
        "circle [20% 30% 50% 80%]",
    ):
        assert part in text


def test_a_yes_or_no_is_shown_with_its_probability():
    asked = replace(EVENT, task="ask", text="Yes", answer="yes", p_yes=0.934, finish="length", boxes=())

    assert "yes, p(yes) 0.93" in line(asked).plain
    assert "length" not in line(asked).plain
    assert "no" in line(replace(asked, answer="no", p_yes=None)).plain


def test_an_answer_that_was_cut_off_says_so():
    assert "[loop]" in line(replace(EVENT, finish="loop")).plain


def test_what_was_amiss_with_the_boxes_is_said():
    assert "[clamped, tiled]" in line(replace(EVENT, flags=("clamped", "tiled"))).plain


def test_nothing_a_model_says_reaches_the_terminal_as_a_command():
    hostile = replace(EVENT, text="[red]\x1b[2J\x07\nnew line", task="a\x1bb", boxes=())
    text = printed(lambda console: StdoutSink(console=console), hostile)

    assert "\x1b" not in text and "\x07" not in text
    assert "[red]" in text
    assert text.count("\n") == 1


def test_json_lines_are_whole_events():
    long = replace(EVENT, text="[bold]wörd[/bold] " * 100)
    text = printed(lambda console: StdoutSink(json=True, console=console), EVENT, long)

    assert [Event.from_dict(json.loads(row)) for row in text.splitlines()] == [EVENT, long]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_has_gone_is_told_apart_from_an_error(as_json):
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), open(writing, "w", buffering=1) as pipe:
        sink = StdoutSink(as_json, PipeConsole(file=pipe))
        for say in (lambda: sink.publish(EVENT, PICTURE), sink.close):
            with pytest.raises(ReaderGone):
                say()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.0"), (59.96, "0:59.9"), (60, "1:00.0"), (36005.5, "10:00:05.5"), (-1.0, "0:00.0")],
)
def test_times_in_the_stream_are_shown_as_a_clock(seconds, shown):
    assert stream_time(seconds) == shown


def test_times_since_1970_are_shown_as_the_time_of_day():
    shown = datetime.strptime(when(replace(EVENT, end=time.time())), "%H:%M:%S")
    apart = abs((datetime.now() - shown).total_seconds()) % 86400

    assert min(apart, 86400 - apart) < 60


def test_of_a_live_source_the_time_of_day_is_shown_and_of_a_file_its_own_time():
    read = replace(EVENT, time=rfc3339(time.time()))
    live = replace(read, clock="arrival", end=86_000.0)

    assert when(read) == "0:03.5"
    assert when(live) == f"{datetime.fromisoformat(live.time).astimezone():%H:%M:%S}"
    assert when(replace(live, time="")) == "23:53:20.0"  # written by an older version


# jsonl


def test_lines_are_appended_in_a_folder_that_is_made_and_readable_at_once(tmp_path):
    path = tmp_path / "new" / "events.jsonl"
    for number in range(2):
        sink = JsonlSink(path)
        sink.publish(replace(EVENT, seq=number), PICTURE)
        assert len(path.read_text().splitlines()) == number + 1
        sink.close()
        sink.close()

    assert [json.loads(row)["seq"] for row in path.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize("sink", [JsonlSink, OverlaySink])
def test_a_place_that_cannot_be_written_is_a_named_error(sink, tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "events"):
        with pytest.raises(SinkUnwritable, match="Choose another file"):
            sink(path)


# overlay


def test_the_video_plays_at_the_streams_own_speed(tmp_path):
    sink = OverlaySink(tmp_path / "new" / "seen.mp4")
    for end in (100.5, 101.5, 104.5, 105.0):
        sink.publish(at(end), PICTURE)
    sink.close()
    shown = pictures(sink.path)

    assert [pytest.approx(time, abs=1e-3) for time, _ in shown] == [0.0, 1.0, 4.0, 4.5]
    with av.open(str(sink.path)) as file:
        assert file.streams.video[0].codec.canonical_name == "h264"
        assert file.duration / 1e6 == pytest.approx(5.0, abs=0.01)  # the last stays as long as the one before


def test_all_answers_about_a_window_share_one_picture(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    for task in ("describe", "ask"):
        sink.publish(at(1.5, task=task), PICTURE)
    sink.publish(at(2.5), PICTURE)
    sink.close()

    assert len(pictures(sink.path)) == 2


def test_the_box_is_drawn_in_its_place(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    sink.publish(EVENT, PICTURE)
    sink.close()
    ((_, pixels),) = pictures(sink.path)
    height, width = 336, 448
    edge = pixels[round(0.55 * height), round(0.2 * width) - 2 : round(0.2 * width) + 3].astype(int)

    assert np.abs(edge - PALETTE[0]).sum(axis=1).min() < 60
    assert np.abs(pixels[round(0.55 * height), 20].astype(int) - 90).max() < 10


def test_sizes_are_even_whatever_the_picture_and_others_are_letterboxed(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    for end, size in [(1.5, (121, 163)), (2.5, (300, 50)), (3.5, (7, 501)), (4.5, (1, 1))]:
        sink.publish(at(end), np.full((*size, 3), 255, np.uint8))
    sink.close()
    shapes = {pixels.shape for _, pixels in pictures(sink.path)}

    assert len(shapes) == 1
    assert all(side % 2 == 0 for side in next(iter(shapes))[:2])


def test_the_same_time_twice_still_gives_a_readable_file(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    sink.publish(at(5.0), PICTURE)
    sink.publish(replace(at(5.0), groups=(9, 9)), PICTURE)
    sink.publish(at(1.0), PICTURE)
    sink.close()

    assert len(pictures(sink.path)) == 3


def test_a_picture_that_cannot_be_drawn_costs_itself_alone(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    sink.publish(at(1.5), PICTURE)
    sink.publish(at(2.5), np.zeros((0, 0, 3), np.uint8))
    with pytest.raises(ArithmeticError):
        sink.publish(at(3.5), PICTURE)
    sink.publish(at(4.5), PICTURE)
    sink.close()
    sink.close()

    assert [round(time) for time, _ in pictures(sink.path)] == [0, 2, 3]


def test_a_video_of_nothing_leaves_no_file(tmp_path):
    sink = OverlaySink(tmp_path / "seen.mp4")
    assert not sink.path.exists()
    sink.close()

    assert not sink.path.exists()


def test_an_older_video_stays_until_there_is_a_picture_to_replace_it(tmp_path):
    path = tmp_path / "seen.mp4"
    path.write_text("the video of yesterday")
    OverlaySink(path).close()
    sink = OverlaySink(path)
    sink.publish(at(1.5), PICTURE)

    assert path.read_text() == "the video of yesterday"

    sink.close()
    assert len(pictures(path)) == 1


def test_a_full_disk_is_said_when_it_is_full_and_costs_the_newest_pictures_only(tmp_path, largest_file):
    sink = OverlaySink(tmp_path / "seen.mp4")
    refused = []

    def publish(number):
        try:
            sink.publish(at(number), NOISE)
        except SinkUnwritable as error:
            refused.append(error)

    with largest_file(300_000):
        published = next(number for number in count(1) if publish(number) or refused)
        shown = len(pictures(sink.path))
        publish(published + 1)
    with pytest.raises(SinkUnwritable):
        sink.close()

    assert published > 4
    assert shown >= published - 3  # one not yet drawn, one whose end was not known, one for which there was no room
    assert len(pictures(sink.path)) == shown
    assert len(refused) == 2
    assert "seen.mp4: the disk took no more (File too large)" in str(refused[0])


def test_one_colour_per_label_and_words_that_fit():
    sheet = Sheet(PICTURE, 2)
    many = replace(EVENT, text="word " * 500 + "x" * 500, boxes=(EVENT.boxes[0], Box("dog", 0, 0, 1, 1)))
    first = sheet.draw(PICTURE, [many, EVENT])

    assert first.shape == (sheet.height + sheet.bar, sheet.width, 3)
    assert (sheet.width, sheet.height) == (448, 336)
    assert (sheet.draw(PICTURE, [many, EVENT]) == first).all()
    assert (PICTURE == 90).all()  # what it was given is left as it was


def test_a_sentence_without_spaces_is_broken_into_lines_and_not_cut():
    sheet = Sheet(PICTURE, 1)
    short, long = (sheet.draw(PICTURE, [replace(EVENT, text="x" * num, boxes=())]) for num in (30, 80))
    first, second = (sheet.height + sheet.margin + sheet.line_height * line for line in (1, 2))
    right = sheet.width // 2

    assert (short[second : second + sheet.line_height, right:] == BAR).all()
    assert (long[second : second + sheet.line_height, :right] != BAR).any()
    assert (long[first : first + sheet.line_height, right:] != BAR).any()


def test_huge_pictures_are_made_smaller():
    assert Sheet(np.zeros((2160, 3840, 3), np.uint8), 1).width == MAX_WIDTH


def test_every_registered_sink_can_be_resolved():
    from pkgutil import resolve_name

    assert {resolve_name(path).__name__ for path in SINKS.values()} == {
        "StdoutSink",
        "JsonlSink",
        "OverlaySink",
        "SnapshotsSink",
    }
