"""`edge profile`, `edge plan`, `edge doctor`: what a device does, what it could do, and what it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import AsJson, Device, Dtype, Fps, Live, MaxPixels, Rtsp, Runner, Threads, open_address
from edge.cli.terminal import UsageError, notes, options_checked, print_json, tell
from edge.media.limits import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    from edge.profiling.profile import Profile

ProfiledModel = Annotated[
    str, typer.Option(help='"pocket", a model folder, a hub name, or random:2b for random weights')
]
Variant = Annotated[
    str | None, typer.Option(help='of random weights: "int4", "int8", "bfloat16", or spelled out like "int4-g32"')
]
Window = Annotated[int, typer.Option(min=1, help="the longest memory, in groups of two frames")]
QuestionTokens = Annotated[int, typer.Option(min=1, help="tokens of a question")]
AnswerTokens = Annotated[int, typer.Option(min=2, help="tokens of an answer")]


def profile(
    model: ProfiledModel = "pocket",
    variant: Variant = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    window: Window = 8,
    fps: Fps = 2.0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    question_tokens: QuestionTokens = 32,
    answer_tokens: AnswerTokens = 64,
    clip: Annotated[Path | None, typer.Option(help="a video of your own  [default: a drawn scene]")] = None,
    live: Annotated[float, typer.Option(min=1, help="seconds of a live camera at the end")] = 20.0,
    html: Annotated[Path | None, typer.Option(help="write a page with plots here")] = None,
    trace: Annotated[Path | None, typer.Option(help="write a trace for ui.perfetto.dev here")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="two reports of --json: measure nothing, say what changed")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="try even what should not fit")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure where a frame's time and memory go on this device, and how far that is from what it could give.

    \b
    Before anything is fetched, with weights of the true shape; and two reports side by side:
      edge profile --model random:2b --variant int4 --html report.html --json > today.json
      edge profile --compare yesterday.json today.json
    """
    from edge import threads as computing
    from edge.commands.outputs import check_outputs
    from edge.commands.profile import check_fit, make_target, read_report
    from edge.hub import model_path
    from edge.profiling.pipeline_steps import ProfileSettings

    if compare is not None:
        _compare(read_report(compare[0]), read_report(compare[1]), as_json)
        return
    _check_files(clip, html, trace)
    check_outputs({"--html": html, "--trace": trace}, {"--clip": clip, "the model": model_path(model)})
    if threads is not None:
        computing.use(threads)
    with options_checked():
        settings = ProfileSettings(
            window=window, fps=fps, max_pixels=max_pixels, question_tokens=question_tokens,
            answer_tokens=answer_tokens, clip=clip,
        )  # fmt: skip
    target = make_target(model, variant, device, dtype, runner)
    if not force:
        check_fit(target, settings)
    from edge.profiling import profile as profiling

    with notes.status("") as status:
        found = profiling.profile(target, settings, live, status.update)
    _show_profile(found, as_json, html, trace)


def _show_profile(found: Profile, as_json: bool, html: Path | None, trace: Path | None) -> None:
    from edge.cli.tables.profile import show_report

    if as_json:
        print_json(found.report)
    else:
        show_report(found.report, notes)
    if html is not None:
        from edge.reports.page import write_page

        write_page(found.report, html)
        notes.print(f"the page is {html}", markup=False, soft_wrap=True)
    if trace is not None:
        from edge.reports.trace import write_trace

        write_trace(found, trace)
        notes.print(f"the trace is {trace}; open it at ui.perfetto.dev", markup=False, soft_wrap=True)


def _check_files(clip: Path | None, *outputs: Path | None) -> None:
    """Before minutes of measuring. Raises UsageError."""
    if clip is not None and not clip.is_file():
        raise UsageError(f"--clip {clip}: there is no such file.")
    for path in filter(None, outputs):
        if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise UsageError(f"{path}: its folder is not there, or nothing can be written into it.")
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            raise UsageError(f"{path} is there already, and cannot be written over. Choose another name.")


def _compare(before: dict[str, object], after: dict[str, object], as_json: bool) -> None:
    from dataclasses import asdict

    from edge.cli.tables.comparison import show_comparison
    from edge.reports.compare import compare, differences

    if as_json:
        changes = [asdict(change) for change in compare(before, after)]
        print_json({"changes": changes, "differences": differences(before, after)})
    else:
        show_comparison(before, after, notes)


def plan(
    model: Annotated[str | None, typer.Option(help="as for profile  [default: that of --like, or random:2b]")] = None,
    variant: Variant = None,
    device: Annotated[str | None, typer.Option(help="a device on file, such as rtx-4060")] = None,
    like: Annotated[Path | None, typer.Option(help="a report of `edge profile --json` on that device")] = None,
    memory: Annotated[str | None, typer.Option(help="such as 8GB")] = None,
    bandwidth: Annotated[str | None, typer.Option(help="of its memory, such as 272GB/s")] = None,
    tflops: Annotated[str | None, typer.Option(help="bf16 operations a second, such as 60T")] = None,
    int8_tops: Annotated[str | None, typer.Option(help="int8 operations a second, such as 121T")] = None,
    size: Annotated[str, typer.Option(help="of the frames the model looks at, width x height")] = "448x448",
    fps: Fps = 2.0,
    window: Window = 8,
    question_tokens: QuestionTokens = 32,
    answer_tokens: AnswerTokens = 64,
    every: Annotated[float, typer.Option(min=0, help="seconds of video between answers; 0: as often as possible")] = 0,
    cameras: Annotated[int, typer.Option(min=1, help="how many cameras are watched")] = 1,
    as_json: AsJson = False,
) -> None:
    """Predict what a device could watch: memory, age of answers, number of cameras. Nothing is measured or loaded.

    \b
    A device on file, and this one by what was measured on it:
      edge plan --variant int4 --device rtx-4060 --cameras 4 --every 10
      edge plan --variant int4 --like today.json --size 280x280
    """
    from edge.cli.tables.forecast import show_forecast
    from edge.commands.plan import forecast_for, read_amounts
    from edge.planning.forecast import Workload

    texts = {"memory": memory, "bandwidth": bandwidth, "tflops": tflops, "int8_tops": int8_tops}
    with options_checked():
        workload = Workload(
            size=_size(size), fps=fps, window=window, question_tokens=question_tokens, answer_tokens=answer_tokens,
            every=every, cameras=cameras,
        )  # fmt: skip
        amounts = read_amounts(texts)
    found = forecast_for(model, variant, device, like, amounts, workload)
    if as_json:
        print_json(found.to_dict())
    else:
        show_forecast(found, workload, notes)


def _size(text: str) -> tuple[int, int]:
    """ "448x448", width first, as (height, width)."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"--size {text}: write it like 448x336.")
    return int(height), int(width)


def doctor(
    source: Annotated[str | None, typer.Argument(help="a camera, address or file to look at for some seconds")] = None,
    transport: Rtsp = None,
    live: Live = None,
    as_json: AsJson = False,
) -> None:
    """Tell what this machine, and a source, are like. Credentials are hidden, so the output can be shown around.

    \b
    The machine alone, and with a camera that makes trouble:
      edge doctor
      edge doctor rtsp://user:password@192.168.1.20/stream --transport udp

    Of a source it tells codec, size, frames per second, whose clock counts, and how long it took to connect, to the
    first data and to the first frame: a long time between the last two is a camera that sends keyframes rarely.
    """
    from edge.commands.doctor import source_report
    from edge.machine import machine

    tell(machine(), as_json, title="this machine")
    if source is not None:
        with notes.status("looking at the source"):
            with options_checked():
                opened = open_address(source, transport, live)
            report = source_report(opened)
        tell(report, as_json, title=report["source"])
