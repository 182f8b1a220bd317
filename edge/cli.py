"""`edge`: parse, call, print.

Exit codes: 0 the work is done (a watch that was stopped with Ctrl-C, too); 1 a defect of ours, with a traceback;
2 wrong usage; 3 the source failed; 4 the model could not be loaded; 5 the question could not be asked;
6 the demo's answers were wrong; 7 out of memory; 8 a variant could not be made, or is damaged.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import edge
from edge.errors import EdgeError, ModelError
from edge.media.limits import LOOKED_AT
from quantize.errors import QuantizeError
from stream.errors import StreamError
from stream.tasks.boxes import readable

if TYPE_CHECKING:
    from edge.commands.describe import Answer
    from edge.commands.inspect import Inspection
    from edge.engine.engine import Engine
    from stream.sources import Source
    from stream.tasks import Task

app = typer.Typer(
    name="edge",
    help="Watch live video with a Qwen2-VL on your own small machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
notes = Console(stderr=True, highlight=False)  # for people; stdout is for answers

USAGE, SOURCE_FAILED, MODEL_FAILED, QUESTION_FAILED, DEMO_FAILED, OUT_OF_MEMORY, VARIANT_FAILED = 2, 3, 4, 5, 6, 7, 8
EXIT_CODES = (
    (ModelError, MODEL_FAILED),
    (StreamError, SOURCE_FAILED),
    (EdgeError, QUESTION_FAILED),
    (QuantizeError, VARIANT_FAILED),
)


class UsageError(Exception):
    """An option's value means nothing."""


class Ticker:
    """One line at the foot of the terminal: the answer that is being made, piece by piece."""

    def __init__(self) -> None:
        self._status = notes.status("waiting for pictures")
        self._task, self._text = "", ""

    def add(self, task: Task, piece: str) -> None:
        if task.name != self._task:
            self._task, self._text = task.name, ""
        self._text = (self._text + piece)[-200:]
        self._status.update(Text(f"{task.name}: {readable(self._text)[-60:]}"))

    def __enter__(self) -> None:
        self._status.start()

    def __exit__(self, *error: object) -> None:
        self._status.stop()


class Transport(StrEnum):
    tcp = "tcp"
    udp = "udp"


Model = Annotated[str, typer.Option(help='"pocket", a model folder, or a hub name such as Qwen/Qwen2-VL-2B-Instruct')]
Device = Annotated[str, typer.Option(help='"auto", "cpu" or "cuda"')]
Dtype = Annotated[str, typer.Option(help='"auto" (as the checkpoint says), "float32", "bfloat16" or "float16"')]
Fps = Annotated[float, typer.Option(help="frames looked at per second of video")]
MaxPixels = Annotated[int, typer.Option(min=1, help="pixels per picture or frame for the model, at most")]
Rtsp = Annotated[Transport, typer.Option(help="how RTSP brings its packets")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines for a program instead of text for people")]
Seconds = Annotated[float | None, typer.Option(help="stop after so many seconds")]


@app.command()
def watch(
    source: Annotated[str, typer.Argument(help="rtsp://..., http://..., camera:0, a file, a folder, synthetic:")],
    model: Model = "pocket",
    fps: Fps = 2.0,
    window: Annotated[int, typer.Option(help="the longest memory, in groups of two frames")] = 8,
    describe: Annotated[str | None, typer.Option(help="what to ask for as a description")] = None,
    ground: Annotated[str | None, typer.Option(help='what to draw boxes around: "person, dog"')] = None,
    ask: Annotated[list[str] | None, typer.Option(help="a yes/no question; may be given several times")] = None,
    every: Annotated[float, typer.Option(help="seconds of video between answers; 0: as often as possible")] = 0.0,
    out: Annotated[Path | None, typer.Option(help="append events to this file, a JSON line each")] = None,
    overlay: Annotated[Path | None, typer.Option(help="write a video with boxes and answers drawn in")] = None,
    duration: Seconds = None,
    max_pixels: MaxPixels = LOOKED_AT,
    transport: Rtsp = Transport.tcp,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Watch a source and tell what is there: descriptions, boxes, yes or no; each with its age."""
    from edge.commands.watch import Pace, make_session, make_sinks, make_tasks

    with _options_checked():
        tasks = make_tasks(describe, ground, ask)
        camera = _open(source, transport)
    engine = _load(model, device, dtype)
    sinks = make_sinks(as_json=as_json, out=out, overlay=overlay)
    with _options_checked():
        pace = Pace(fps=fps, window=window, max_pixels=max_pixels, every=every, duration=duration)
        show = Ticker()
        session = make_session(camera, engine, tasks, sinks, pace, show.add)
    with _stopped_by_signals(session.stop), show:
        try:
            session.run()
        finally:  # an error of the model, too, leaves a summary behind
            summary = session.summary()
            _tell(summary.to_dict(), as_json, title=f"{summary.stream}: {summary.ended}")
    if session.error is not None:
        raise session.error


@app.command()
def describe(
    files: Annotated[list[str], typer.Argument(help="pictures or clips")],
    prompt: Annotated[str | None, typer.Option(help="what to ask of each, instead of for a description")] = None,
    model: Model = "pocket",
    fps: Fps = 2.0,
    max_pixels: MaxPixels = LOOKED_AT,
    max_tokens: Annotated[int, typer.Option(min=1, help="length of an answer, at most")] = 256,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Describe pictures and clips, one answer each."""
    from edge.commands.describe import describe_file

    engine = _load(model, device, dtype)
    failed: Exception | None = None
    for file in files:
        try:
            answer = describe_file(engine, file, prompt, fps=fps, max_pixels=max_pixels, max_tokens=max_tokens)
            if as_json:
                print(json.dumps(answer.to_dict(), ensure_ascii=False), flush=True)
            else:
                _print_answer(answer)
        except (StreamError, EdgeError) as error:  # the other files are described all the same
            failed = error
            _complain(error)
    if failed is not None:
        raise typer.Exit(_exit_code(failed))


@app.command()
def demo(
    model: Model = "pocket",
    folder: Annotated[Path, typer.Option(help="where the clip, the events and the annotated video go")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=1, help="how long the camera is watched")] = 20.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Serve a drawn scene as an RTSP camera on loopback, watch it, and hold the answers against the truth."""
    from edge.commands.demo import run_demo

    engine = _load(model, device, dtype)
    outcome = run_demo(engine, folder, seconds)
    _tell(outcome.summary.to_dict(), as_json=False, title=f"{outcome.summary.stream}: {outcome.summary.ended}")
    _tell(outcome.to_dict(), as_json=False, title="against the truth of the scene")
    if not outcome.is_right:
        raise typer.Exit(DEMO_FAILED)


@app.command()
def doctor(
    source: Annotated[str | None, typer.Argument(help="a camera, address or file to look at for some seconds")] = None,
    transport: Rtsp = Transport.tcp,
    as_json: AsJson = False,
) -> None:
    """Tell what this machine, and a source, are like. Credentials are hidden, so the output can be shown around."""
    from edge.commands.doctor import source_report
    from edge.machine import machine

    _tell(machine(), as_json, title="this machine")
    if source is not None:
        with _options_checked(), notes.status("looking at the source"):
            report = source_report(_open(source, transport))
        _tell(report, as_json, title=report["source"])


@app.command()
def quantize(
    source: Annotated[str, typer.Argument(metavar="SRC", help='"pocket", a model folder, or a hub name')],
    out: Annotated[Path, typer.Argument(help="the folder to write; it must not be there yet")],
    preset: Annotated[str, typer.Option(help="which layers: official, edge or int8")] = "edge",
    bits: Annotated[int | None, typer.Option(help="4 or 8, of the language model  [default: the preset's]")] = None,
    method: Annotated[str, typer.Option(help="how numbers are chosen: rtn, hqq, awq or gptq")] = "gptq",
    group: Annotated[str | None, typer.Option(help="weights per scale: 32, 64, 128 or channel")] = None,
    format: Annotated[str, typer.Option(help="stored as gptq, awq, compressed-tensors, or several")] = "gptq",
    calibrate: Annotated[
        Path | None, typer.Option(help="a folder of clips and pictures  [default: drawn scenes]")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="prompts to calibrate with")] = 128,
    seed: int = 0,
    layer: Annotated[list[str] | None, typer.Option(help="a rule of your own, e.g. 'visual.*=keep'")] = None,
    act_order: Annotated[
        bool, typer.Option("--act-order/--no-act-order", help="gptq: the strongest inputs first")
    ] = True,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write an INT4 or INT8 variant of a model. A run that was stopped goes on where it was."""
    from edge.commands.error_picture import draw_errors
    from edge.commands.inspect import inspect_folder
    from edge.commands.quantize import Order, quantize_model
    from edge.hub import find_model

    options = {} if act_order else {"act_order": False}
    formats = tuple(name.strip() for name in format.split(","))
    order = Order(preset, bits, method, group, formats, calibrate, samples, seed, tuple(layer or ()), options)
    with _bar() as progress:
        written = quantize_model(find_model(source), source, out, order, device, progress)
    for folder, manifest in written.items():
        if not draw_errors(manifest, folder.with_name(f"{folder.name}-errors.png")):
            notes.print("no picture of the errors: matplotlib is not installed", style="dim")
        _show_inspection(inspect_folder(folder), str(folder), as_json)


@app.command()
def inspect(
    folder: Annotated[str, typer.Argument(help="a model folder, or a hub name")], as_json: AsJson = False
) -> None:
    """Tell what a model stores and how, and what it takes at run time."""
    from edge.commands.inspect import inspect_folder
    from edge.hub import find_model

    _show_inspection(inspect_folder(find_model(folder)), folder, as_json)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="a variant")], as_json: AsJson = False) -> None:
    """Tell whether a variant is whole: its files' hashes, its numbers, its shapes."""
    from edge.commands.verify import verify_folder
    from edge.hub import find_model

    with _bar() as progress:
        problems = verify_folder(find_model(str(folder)), progress)
    if as_json:
        print(json.dumps({"folder": str(folder), "problems": problems}, ensure_ascii=False))
    for problem in problems:
        notes.print(problem, style="red", markup=False, soft_wrap=True)
    if problems:
        raise typer.Exit(VARIANT_FAILED)
    notes.print(f"{folder} is whole", style="green", markup=False)


def main() -> None:
    """The console script: what a user can do something about is one line, without a traceback."""
    try:
        app()
    except (StreamError, EdgeError, QuantizeError, UsageError) as error:
        _complain(error)
        sys.exit(_exit_code(error))
    except MemoryError as error:
        _complain(error)
        sys.exit(OUT_OF_MEMORY)


def _complain(error: Exception) -> None:
    notes.print(f"{type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)


def _exit_code(error: Exception) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), USAGE)


@contextmanager
def _options_checked() -> Iterator[None]:
    """What the parts refuse about an option's value is wrong usage."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from None


def _open(source: str, transport: Transport) -> Source:
    from stream.sources.address import open_source

    is_rtsp = source.lower().startswith(("rtsp:", "rtsps:"))
    return open_source(source, transport=transport.value) if is_rtsp else open_source(source)


def _load(model: str, device: str, dtype: str) -> Engine:
    with notes.status(f"loading {model}"):
        return edge.load(model, device=device, dtype=dtype)


def _print_answer(answer: Answer) -> None:
    console = Console(highlight=False)
    console.print(answer.file, style="bold", markup=False)
    for piece in answer:
        console.print(piece, end="", markup=False, soft_wrap=True)
    console.print()
    for line in answer.box_lines():
        console.print(f"  {line}", style="green", markup=False)
    notes.print(f"  {answer.cost()}", style="dim", markup=False)


@contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    """Progress with the time left: call it with (done, of how many, what begins now)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield update


def _show_inspection(found: Inspection, title: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False), flush=True)
        return
    table = Table("part", "stored as", title=title, title_justify="left", title_style="bold")
    for heading in ("layers", "weights", "MB", "bits/weight"):
        table.add_column(heading, justify="right")
    for row in found.rows:
        counts = (str(row.num_layers), f"{row.num_weights / 1e6:.2f} M", f"{row.nbytes / 1e6:.1f}")
        table.add_row(row.part, row.stored, *counts, f"{row.bits_per_weight:.2f}")
    notes.print(table)
    notes.print(found.summary(), markup=False)


def _tell(facts: dict[str, Any], as_json: bool, title: str) -> None:
    """One object: a JSON line for programs, a table for people."""
    if as_json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
        return
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold")
    for name, value in facts.items():
        if value is not None and value != {}:
            table.add_row(name.replace("_", " "), _plain(value))
    notes.print(table)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(item)}" for key, item in value.items())
    return str(value)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a watch in good order; a second one ends it at once."""
    signals = (signal.SIGINT, signal.SIGTERM)
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
