"""`edge watch`, `edge describe`, `edge demo`: what a model says of what it sees."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from edge.cli.options import (
    AsJson,
    Deinterlace,
    Device,
    Dtype,
    Fps,
    KeepDamaged,
    Live,
    MaxPixels,
    Model,
    Rtsp,
    Runner,
    Seconds,
    Threads,
    open_address,
)
from edge.cli.terminal import (
    DEMO_FAILED,
    complain,
    discard_output,
    exit_code,
    load,
    notes,
    options_checked,
    print_json,
    tell,
)
from edge.errors import EdgeError, EventsLost
from edge.media.limits import DEFAULT_MAX_PIXELS
from stream.errors import StreamError
from stream.printable import Pieces, printable
from stream.tasks.boxes import readable

if TYPE_CHECKING:
    from edge.commands.describe import Answer
    from stream.tasks import Task


def watch(
    source: Annotated[str, typer.Argument(help="rtsp://..., http://..., camera:0, a file, a folder, synthetic:")],
    model: Model = "pocket",
    fps: Fps = 2.0,
    window: Annotated[int, typer.Option(help="the longest memory, in groups of two frames")] = 8,
    describe: Annotated[str | None, typer.Option(help="what to ask for as a description")] = None,
    ground: Annotated[str | None, typer.Option(help='what to draw boxes around: "person, dog"')] = None,
    ask: Annotated[list[str] | None, typer.Option(help="a yes/no question; may be given several times")] = None,
    task: Annotated[list[str] | None, typer.Option(help='a task of your own: "your.package:YourTask"')] = None,
    every: Annotated[float, typer.Option(help="seconds of video between answers; 0: as often as possible")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="append events to this file, a JSON line each")] = None,
    overlay: Annotated[Path | None, typer.Option(help="write a video with boxes and answers drawn in")] = None,
    sink: Annotated[list[str] | None, typer.Option(help='where else events go: "your.package:YourSink"')] = None,
    duration: Seconds = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    transport: Rtsp = None,
    live: Live = None,
    keep_damaged: KeepDamaged = None,
    deinterlace: Deinterlace = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Watch a source and tell what is there: descriptions, boxes, yes or no; each with its age."""
    from edge.commands.outputs import check_outputs, source_path
    from edge.commands.watch import WatchOptions, make_other_sinks, make_session, make_sinks, make_tasks
    from edge.hub import model_path

    with options_checked():
        tasks = make_tasks(describe, ground, ask, task)
        options = WatchOptions(fps=fps, window=window, max_pixels=max_pixels, every=every, duration=duration)
        read = {"the source": source_path(source), "the model": model_path(model)}
        own_sinks = make_other_sinks(sink)
        check_outputs({"--out": out, "--overlay": overlay}, read)
        camera = open_address(source, transport, live, fps=fps, keep_damaged=keep_damaged, deinterlace=deinterlace)
    engine = load(model, device, dtype, runner, threads)
    sinks = make_sinks(as_json=as_json, out=out, overlay=overlay, others=own_sinks)
    show = Ticker()
    session = make_session(camera, engine, tasks, sinks, options, show.add)
    with stopped_by_signals(session.stop), show:
        try:
            session.run()
        finally:  # an error of the model, too, leaves a summary behind
            summary = session.summary()
            tell(summary.to_dict(), as_json, title=f"{summary.stream}: {summary.ended}")
    if session.error is not None:
        raise session.error
    if lost := summary.sink_errors + summary.sink_dropped:
        raise EventsLost(f"{lost} deliveries of events failed. The warnings above say which; the summary counts them.")


def describe(
    files: Annotated[list[str], typer.Argument(help="pictures or clips")],
    prompt: Annotated[str | None, typer.Option(help="what to ask of each, instead of for a description")] = None,
    model: Model = "pocket",
    fps: Fps = 2.0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    max_tokens: Annotated[int, typer.Option(min=1, help="length of an answer, at most")] = 256,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Describe pictures and clips, one answer each."""
    from edge.commands.describe import describe_file

    engine = load(model, device, dtype, runner, threads)
    failed: Exception | None = None
    for file in files:
        try:
            answer = describe_file(engine, file, prompt, fps=fps, max_pixels=max_pixels, max_tokens=max_tokens)
            if as_json:
                print_json(answer.to_dict())
            else:
                _print_answer(answer)
        except (StreamError, EdgeError) as error:  # the other files are described all the same
            failed = error
            complain(error)
    if failed is not None:
        raise typer.Exit(exit_code(failed))


def demo(
    model: Model = "pocket",
    folder: Annotated[Path, typer.Option(help="where the clip, the events and the annotated video go")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=1, help="how long the camera is watched")] = 20.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
) -> None:
    """Serve a drawn scene as an RTSP camera on loopback, watch it, and hold the answers against the truth."""
    from edge.commands.demo import demo_files, run_demo
    from edge.commands.outputs import check_outputs
    from edge.hub import model_path

    check_outputs(demo_files(folder), {"the model": model_path(model)})
    engine = load(model, device, dtype, runner, threads)

    def announce(address: str) -> None:
        notes.print(f"a camera plays a drawn scene at {address}; watching for {seconds:.0f} s", markup=False)

    result = run_demo(engine, folder, seconds, announce)
    tell(result.summary.to_dict(), as_json=False, title=f"{result.summary.stream}: {result.summary.ended}")
    tell(result.to_dict(), as_json=False, title="against the truth of the scene")
    if not result.is_right:
        raise typer.Exit(DEMO_FAILED)


class Ticker:
    """One line at the foot of the terminal: the answer that is being made, piece by piece."""

    def __init__(self) -> None:
        self._status = notes.status("waiting for pictures")
        self._task, self._text, self._pieces = "", "", Pieces()

    def add(self, task: Task, piece: str) -> None:
        if task.name != self._task:
            self._task, self._text, self._pieces = task.name, "", Pieces()
        self._text = (self._text + self._pieces.add(piece))[-200:]
        self._status.update(Text(f"{printable(task.name)}: {readable(self._text)[-60:]}"))

    def __enter__(self) -> None:
        self._status.start()

    def __exit__(self, *error: object) -> None:
        self._status.stop()


def _print_answer(answer: Answer) -> None:
    from stream.sinks.stdout import PipeConsole

    console = PipeConsole(highlight=False)
    try:
        console.print(printable(answer.file), style="bold", markup=False)
        for piece in answer:
            console.print(piece, end="", markup=False, soft_wrap=True)
        console.print()
        for line in answer.box_lines():
            console.print(f"  {line}", style="green", markup=False)
    except BrokenPipeError:  # whoever read it has had enough, as `head` has
        discard_output()
        return
    notes.print(f"  {answer.cost()}", style="dim", markup=False)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that closes end a watch in good order; a second signal ends it at once."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored: under `nohup`
        signals.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in signals}

    def handle(number: int, frame: object) -> None:
        for each in signals:
            signal.signal(each, before[each])
        stop()

    for number in signals:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, before[number])
