"""`edge watch`: what a model says of one camera, or of many, while it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import (
    AsJson,
    ChosenModel,
    Deinterlace,
    Device,
    Draft,
    Dtype,
    Duration,
    Fps,
    KeepDamaged,
    Live,
    MaxPixels,
    Rtsp,
    Runner,
    Threads,
    Wait,
    open_addresses,
)
from edge.cli.signals import stopped_by_signals
from edge.cli.terminal import complain, load, notes, options_checked, print_json, tell
from edge.cli.ticker import Ticker
from edge.errors import EventsLost
from edge.media.limits import DEFAULT_MAX_PIXELS
from stream.printable import printable

if TYPE_CHECKING:
    from stream.session import Session
    from stream.summary import Summary


def watch(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="rtsp://..., http://..., camera:0, a file, a folder, synthetic:, "
            'or a class of your own, "your.package:YourSource"; front=rtsp://... gives it a name',
        ),
    ],
    model: ChosenModel = None,
    fps: Fps = 2.0,
    fixed_fps: Annotated[
        bool,
        typer.Option(
            "--fixed-fps",
            help="keep --fps on a camera that is faster than the model, and drop what is too much; otherwise frames "
            "are taken further apart, so that windows have no gaps and answers speak of now",
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="how far every answer looks back, at least; at most it is nearly twice as far  "
            "[default: --window 8, which is 4.5 to 7.5 seconds at --fps 2]",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="the same in groups (of two frames, see above), at most", show_default=False),
    ] = None,
    describe: Annotated[str | None, typer.Option(help="what to ask for as a description")] = None,
    ground: Annotated[str | None, typer.Option(help='what to draw boxes around: "person, dog"')] = None,
    ask: Annotated[list[str] | None, typer.Option(help="a yes/no question; may be given several times")] = None,
    task: Annotated[list[str] | None, typer.Option(help='a task of your own: "your.package:YourTask"')] = None,
    every: Annotated[float, typer.Option(help="seconds of video between answers; 0: as often as possible")] = 0.0,
    max_age: Annotated[
        float | None, typer.Option(min=0, help="seconds; an answer that is older when it comes is marked as stale")
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option(
            help="look at a part of the picture only: x,y,width,height in pixels, or in fractions of the picture where "
            "all four are 1 at most; front=x,y,width,height for one of several cameras. Boxes stay those of the whole "
            "picture"
        ),
    ] = None,
    changes: Annotated[
        bool,
        typer.Option(
            "--changes",
            help="tell only answers that differ from the last one told of the same camera and task: other words, "
            "another yes or no, boxes that came, went, or moved by more than a ninth of their side. Goes for the "
            "terminal and for all that is written; the summary counts what was not told",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="append the events of all cameras to this file, a JSON line each")
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            help="write a video with boxes and answers drawn in; of several cameras one each: door.mp4 becomes "
            "door-front.mp4, door-back.mp4"
        ),
    ] = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            help="keep the picture of each yes and each box in this folder, as front_TIME_TASK.jpg, without boxes "
            "drawn; nothing is deleted there"
        ),
    ] = None,
    sink: Annotated[list[str] | None, typer.Option(help='where else events go: "your.package:YourSink"')] = None,
    duration: Duration = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    wait: Wait = None,
    transport: Rtsp = None,
    live: Live = None,
    keep_damaged: KeepDamaged = None,
    deinterlace: Deinterlace = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    draft: Draft = True,
    as_json: AsJson = False,
) -> None:
    """Watch cameras and tell what is there: descriptions, boxes, yes or no; each with its age.

    \b
    One camera, and two on one model, each with a name:
      edge watch rtsp://user:password@192.168.1.20/stream \\
          --model Qwen/Qwen2-VL-2B-Instruct --ground "person, dog" \\
          --describe "Describe what happens at the door."
      edge watch front=rtsp://192.168.1.20/live back=rtsp://192.168.1.21/live \\
          --model Qwen/Qwen2-VL-2B-Instruct --ask "Is the door open?" \\
          --changes --out events.jsonl --snapshots yes/ --duration 3600
    To try it without a camera and without a model to fetch:
      edge watch "synthetic://?live=1" --ground "red circle" --duration 10

    The model reads video in groups: two frames, half a second apart at --fps 2. A window is the newest groups that
    it remembers, and every answer speaks of one window. A full window goes on with its newest half, so that nothing
    is computed twice: --seconds 8 keeps as many groups as make every answer speak of 8 seconds or more.

    With --json the events come as JSON lines, and last the summary of each camera, one line each.
    """
    from edge.cli.candour import chosen
    from edge.commands.cameras import check_files, crops_of, overlays_of, sinks_of
    from edge.commands.watch import WatchOptions, choose_window, make_other_sinks, make_session, make_tasks
    from stream.naming import name_cameras

    with options_checked():
        cameras = name_cameras(source)
        addresses = [camera.address for camera in cameras]
        tasks = [make_tasks(describe, ground, ask, task) for _ in cameras]
        options = WatchOptions(
            fps=fps,
            window=choose_window(window, seconds, fps),
            max_pixels=max_pixels,
            every=every,
            max_age=max_age,
            duration=duration,
            fixed_fps=fixed_fps,
            only_changes=changes,
        )
        crops = crops_of(crop, cameras)
        own_sinks = make_other_sinks(sink)
        overlays = overlays_of(overlay, cameras)
        name = chosen(model, addresses, [*(ask or ()), *(ground or "").split(",")])
        check_files(cameras, name, out=out, overlays=overlays, snapshots=snapshots)
        opened = open_addresses(
            addresses, transport, live,
            fps=fps, keep_damaged=keep_damaged, deinterlace=deinterlace, wait=wait,
        )  # fmt: skip
    engine = load(name, device, dtype, runner, threads)
    engine.drafts = draft
    sinks = sinks_of(cameras, as_json=as_json, out=out, overlays=overlays, snapshots=snapshots, others=own_sinks)
    show = Ticker()
    sessions = [
        make_session(each, engine, asked, heard, replace(options, crop=part), show.of(camera.name), camera.name)
        for camera, each, asked, heard, part in zip(cameras, opened, tasks, sinks, crops, strict=True)
    ]
    _run(sessions, show, as_json)


def _run(sessions: Sequence[Session], show: Ticker, as_json: bool) -> None:
    """All of them to their ends. Raises the error of one that failed, after the others' answers were delivered."""
    from stream.ledger import STOPPED
    from stream.scheduler import Scheduler

    def stop() -> None:
        for session in sessions:
            session.stop()

    def report(over: Session) -> None:
        ended = over.summary().ended
        if ended == STOPPED:  # by a signal, or because nobody reads the answers any more: the others' neither
            stop()
        elif any(session.summary().ended == "running" for session in sessions):
            said = f"{over.name} is over: {over.error or ended}; the others go on"
            notes.print(printable(said), markup=False, soft_wrap=True)

    with stopped_by_signals(stop), show:
        try:
            Scheduler(sessions, on_end=report).run()
        finally:  # an error of the model, too, leaves a summary behind
            summaries = [session.summary() for session in sessions]
            _tell(summaries, as_json)
    errors = [session.error for session in sessions if session.error is not None]
    for error in errors[:-1]:
        complain(error)
    if errors:
        raise errors[-1]
    if lost := sum(summary.sink_errors + summary.sink_dropped for summary in summaries):
        raise EventsLost(f"{lost} deliveries of events failed. The warnings above say which; the summary counts them.")


def _tell(summaries: Sequence[Summary], as_json: bool) -> None:
    """Of one camera all numbers; of several a row each, or for a program an object each, in the order given."""
    if len(summaries) == 1:
        tell(summaries[0].to_dict(), as_json, title=f"{summaries[0].stream}: {summaries[0].ended}")
    elif as_json:
        for summary in summaries:
            print_json(summary.to_dict())
    else:
        from edge.cli.tables.cameras import show_cameras

        show_cameras(summaries, notes)
