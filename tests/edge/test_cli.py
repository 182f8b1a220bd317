"""The commands as a user types them, in this process, with the embedded model."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from edge_command import run
from PIL import Image
from typer.main import get_command

from edge.cli import app
from edge.cli.signals import stopped_by_signals
from edge.cli.terminal import OUTPUT_FAILED
from edge.cli.ticker import Ticker
from edge.commands.describe import Answer
from stream.clip import write_clip
from stream.event import Event
from stream.rtsp_server import RtspServer
from stream.sinks.jsonl import JsonlSink
from stream.sources.scene import Scene
from stream.tasks.describe import Describe
from stream.tasks.geometry import Picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "scene.mp4"
    scene = Scene(1, 168, 112, duration=4.0)
    write_clip(path, (scene.render(index / 10, 112, 168) for index in range(41)), fps=10)
    return path


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_watch_gives_events_and_a_summary_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path, tmp_path: Path
) -> None:
    out, overlay = tmp_path / "deep" / "events.jsonl", tmp_path / "overlay.mp4"
    code = run(monkeypatch, "watch", clip, "--describe", "Describe the video.", "--ground", "red circle, blue star",
               "--ask", "Is anything moving?", "--window", 3, "--out", out, "--overlay", overlay, "--json")  # fmt: skip
    assert code == 0
    *events, summary = lines(capsys.readouterr().out)
    assert summary["received"] == 41 == summary["analysed"] + sum(summary["dropped"].values()) + summary["pending"]
    assert summary["pending"] == 0 and summary["ended"] == "end of file"
    assert [event["task"] for event in events[:4]] == [
        "describe",
        "ground:red circle",
        "ground:blue star",
        "ask",
    ]
    assert len(events) == summary["events"] == 4 * summary["groups"]
    assert all(event["age"] >= 0 and event["model"] == "pocket" for event in events)
    assert all(0 <= event["p_yes"] <= 1 for event in events if event["task"] == "ask")
    assert [json.loads(line) for line in out.read_text().splitlines()] == events
    assert [Event.from_dict(event).to_dict() for event in events] == events
    assert overlay.stat().st_size > 1000


def test_answers_are_the_same_with_and_without_a_draft(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    told = []
    for flag in ("--draft", "--no-draft"):
        assert run(monkeypatch, "watch", clip, "--ground", "red circle", "--window", 3, "--json", flag) == 0
        told.append(lines(capsys.readouterr().out)[:-1])
    with_draft, without = told

    assert [event["text"] for event in with_draft] == [event["text"] for event in without]
    assert with_draft[0]["accepted"] == 0  # there was no earlier answer
    assert {event["accepted"] for event in without} == {0}


@pytest.mark.parametrize(("flags", "is_dropped"), [((), True), (("--keep-damaged", "--no-deinterlace"), False)])
def test_watch_passes_over_damaged_pictures_unless_asked_to_keep_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    clip: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    is_dropped: bool,
) -> None:
    spoilt = tmp_path / "spoilt.mp4"
    with av.open(str(clip)) as given, av.open(str(spoilt), "w") as left:
        stream = given.streams.video[0]
        out = left.add_stream_from_template(stream)
        for index, packet in enumerate(given.demux(stream)):
            if packet.size and index != 15:  # no keyframe: what follows refers to it
                packet.stream = out
                left.mux(packet)
    assert run(monkeypatch, "watch", spoilt, "--json", *flags) == 0
    summary = lines(capsys.readouterr().out)[-1]
    assert summary["received"] == 40
    assert ("damaged" in summary["dropped"]) == is_dropped


def test_watch_over_rtsp_hides_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "events.jsonl"
    with RtspServer(clip, user="viewer", password="s3cr3t@pass") as server:
        code = run(monkeypatch, "watch", server.url_with_login, "--duration", 3, "--out", out)
    shown = capsys.readouterr()
    assert code == 0
    assert "s3cr3t" not in shown.out + shown.err + out.read_text()
    assert json.loads(out.read_text().splitlines()[0])["clock"] == "arrival"


def test_describe_answers_for_each_file_and_names_the_ones_it_cannot_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path, tmp_path: Path
) -> None:
    from PIL import Image

    picture, broken = tmp_path / "picture.png", tmp_path / "broken.mp4"
    Image.fromarray(Scene(2).render(0.0, 112, 112)).save(picture)
    broken.write_bytes(b"not a video")
    assert run(monkeypatch, "describe", clip, broken, picture, "--json", "--max-tokens", 20) != 0
    shown = capsys.readouterr()
    assert [Path(str(answer["file"])).name for answer in lines(shown.out)] == ["scene.mp4", "picture.png"]
    assert "broken.mp4" in shown.err
    assert lines(shown.out)[1]["tokens"]["visual"] > 0


def test_describe_streams_text_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    assert run(monkeypatch, "describe", clip, "--max-tokens", 8) == 0
    shown = capsys.readouterr()
    assert "visual" in shown.err
    assert "<|" not in shown.out


def test_doctor_knows_the_machine_and_a_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    assert run(monkeypatch, "doctor", clip, "--json") == 0
    machine, source = lines(capsys.readouterr().out)
    assert machine["torch"] and machine["cores"]
    assert source["size"] == "168x112" and source["clock"] == "file"
    assert source["codec"] == "h264"


def test_doctor_tells_connecting_and_waiting_for_a_picture_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    from edge.commands import doctor

    monkeypatch.setattr(doctor, "LOOK", 0.5)
    with RtspServer(clip) as server:
        assert run(monkeypatch, "doctor", server.url, "--json") == 0
        assert server.wait_for_viewers(0, timeout=20)
        assert server.num_goodbyes == 1
    source = lines(capsys.readouterr().out)[1]
    assert source["live"] and source["clock"] == "arrival"
    moments = [source[f"{name} after"] for name in ("connected", "first data", "first frame")]
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["watch", "no-such-clip.mp4"], 3, "no-such-clip.mp4"),
        (["watch", "gopher://x"], 3, "gopher"),
        (["watch", "rtsp://user:se#cret@camera/live"], 3, "Percent-encode"),
        (["watch", "synthetic:", "--model", "no/where/at/all"], 4, "no folder"),
        (["watch", "synthetic:", "--ground", "person,"], 2, "label"),
        (["watch", "synthetic:", "--fps", "0"], 2, "fps"),
        (["watch", "synthetic:", "--task", "no.package:Task"], 2, "no.package:Task"),
        (["watch", "synthetic:", "--sink", "carrier pigeon"], 2, "none of jsonl, overlay, snapshots, stdout"),
        (["watch", "synthetic:", "--window", "0"], 2, "window"),
        (["watch", "synthetic:", "--transport", "pigeon"], 2, "pigeon"),
        (["watch", "clip.mp4", "--live"], 2, "--live"),
        (["doctor", "synthetic:", "--recording"], 2, "--recording"),
        (["watch", "clip.mp4", "--transport", "tcp"], 2, "--transport"),
        (["doctor", "http://camera/live", "--transport", "udp"], 2, "--transport"),
        (["watch", "synthetic:", "--keep-damaged"], 2, "--keep-damaged"),
        (["watch", "synthetic:", "--no-deinterlace"], 2, "--no-deinterlace"),
        (["describe", "no-such-picture.png"], 3, "no-such-picture.png"),
        (["doctor", "no-such-clip.mp4"], 3, "no-such-clip.mp4"),
    ],
)
def test_a_mistake_is_named_and_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    says: str,
) -> None:
    assert run(monkeypatch, *words) == code
    shown = capsys.readouterr()
    assert says in shown.err
    assert "Traceback" not in shown.err


def test_the_demo_leaves_a_film_and_events(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(monkeypatch, "demo", "--folder", tmp_path, "--seconds", 6)
    assert "loopback@" not in capsys.readouterr().err
    assert (tmp_path / "annotated.mp4").stat().st_size > 1000
    first = (tmp_path / "events.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["task"] == "describe"


# The end of a watch


@pytest.mark.parametrize("option", ["--json", "--ask=Is it red?"])
def test_a_reader_that_has_had_enough_ends_a_watch_quietly(option: str) -> None:
    """In a process of its own, because Python writes once more what is left when it ends."""
    code = "from edge.cli import main; main()"
    words = ["watch", "synthetic:?live=1&fps=10&size=112x112", option]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None and watching.stderr is not None
        try:
            assert watching.stdout.readline()
            watching.stdout.close()
            complaints = watching.stderr.read()
        finally:
            watching.kill()  # no news to one that has ended

    assert watching.returncode == 0
    assert "Traceback" not in complaints and "ignored" not in complaints


def test_describing_goes_on_when_nobody_reads_any_more(clip: Path) -> None:
    words = ["describe", str(clip), str(clip), "--max-tokens", "4"]
    with subprocess.Popen(
        [sys.executable, "-c", "from edge.__main__ import main; main()", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as describing:  # fmt: skip
        assert describing.stdout is not None and describing.stderr is not None
        describing.stdout.close()
        complaints = describing.stderr.read()

    assert describing.returncode == 0
    assert "Traceback" not in complaints and "ignored" not in complaints


def test_answers_that_cannot_be_written_are_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = run(monkeypatch, "doctor", "--json")

    assert code == OUTPUT_FAILED
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [["--json"], []])
def test_events_that_could_not_be_written_are_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clip: Path, as_json: list[str]
) -> None:
    def full(sink: JsonlSink, event: Event, picture: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JsonlSink, "publish", full)
    code = run(monkeypatch, "watch", clip, "--every", 2, "--out", clip.with_suffix(".jsonl"), *as_json)
    shown = capsys.readouterr()

    assert code == OUTPUT_FAILED == 9
    assert "EventsLost" in shown.err


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_a_watch_in_good_order_and_a_second_one_at_once(name: str) -> None:
    number, calls = signal.Signals[name], []
    before = signal.signal(number, lambda *_: calls.append("at once"))
    try:
        with stopped_by_signals(lambda: calls.append("in good order")):
            signal.raise_signal(number)
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)

    assert calls == ["in good order", "at once"]


def test_a_watch_that_shall_outlive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with stopped_by_signals(lambda: pytest.fail("stopped")):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


class Hostile:
    """A reply that would set the terminal's title, in two pieces."""

    text = "A\x1b]0;owned\x07 dog\x9b2J.<|im_end|>"

    def __iter__(self) -> Iterator[str]:
        yield from ("A\x1b", "]0;own", "ed\x07 dog", "\x9b2", "J.", "<|im_end|>", "\x1b[")


def test_what_a_model_says_of_a_file_is_no_command_to_the_terminal() -> None:
    shown = "".join(Answer("clip\x1b[2J.mp4", Hostile(), Picture(28, 28)))  # type: ignore[arg-type]

    assert shown == "A dog."


def test_an_answer_in_the_making_is_no_command_to_the_terminal() -> None:
    ticker = Ticker()
    for piece in Hostile():
        ticker.add(Describe(), piece)
        assert not set(str(ticker._status.status)) & {"\x1b", "\x07", "\x9b"}

    assert str(ticker._status.status) == "describe: A dog."


def test_the_name_of_a_file_is_no_command_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "a\x1b]0;owned\x07b.mp4"
    broken.write_bytes(b"not a video")

    assert run(monkeypatch, "describe", broken) != 0
    assert run(monkeypatch, "doctor", broken) != 0
    shown = capsys.readouterr()
    assert "ab.mp4" in shown.err and "\x1b]" not in shown.err + shown.out


def test_an_animation_is_described_as_a_video(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, *rest = (Image.fromarray(Scene(2).render(float(second), 112, 112)) for second in range(3))
    first.save(tmp_path / "a.webp")
    first.save(tmp_path / "b.webp", save_all=True, append_images=rest, duration=1000)

    assert run(monkeypatch, "describe", tmp_path / "a.webp", tmp_path / "b.webp", "--json", "--max-tokens", 3) == 0
    still, moving = lines(capsys.readouterr().out)
    assert moving["tokens"]["visual"] == 3 * still["tokens"]["visual"]


def test_a_folder_is_inspected_with_its_limits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "inspect", "pocket", "--json") == 0
    assert lines(capsys.readouterr().out)[0]["pixels"]["image"] == {"min_pixels": 12544, "max_pixels": 22400}


@pytest.mark.parametrize("command", [str(command.name) for command in get_command(app).commands.values()])  # type: ignore[attr-defined]
def test_the_help_of_every_command_has_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(monkeypatch, command, "--help") == 0
    assert f"edge {command} " in capsys.readouterr().out.partition("Options:")[0].partition("\n")[2]
