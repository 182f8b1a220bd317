"""`edge demo`: the main job on one machine, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.options import Device, Dtype, Model, Runner, Threads
from edge.cli.terminal import DEMO_FAILED, load, notes, tell


def demo(
    model: Model = "pocket",
    folder: Annotated[Path, typer.Option(help="where the clip, the events and the annotated video go")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=1, help="how long the camera is watched")] = 20.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
) -> None:
    """Serve a drawn scene as an RTSP camera on loopback, watch it, and hold the answers against the truth.

    \b
    Ten seconds of it, with everything in a folder of its own:
      edge demo --seconds 10 --folder /tmp/demo

    Nothing is fetched. The folder has the scene (scene.mp4), the events (events.jsonl) and the video with boxes and
    answers (annotated.mp4) then; the exit code is 6 where too many boxes were wrong.
    """
    from edge.commands.demo import demo_files, run_demo
    from edge.commands.outputs import check_outputs
    from edge.hub import model_path

    check_outputs(demo_files(folder), {"the model": model_path(model)})
    engine = load(model, device, dtype, runner, threads)

    def announce(address: str) -> None:
        said = f"a camera plays a drawn scene at {address}; watching for {seconds:.0f} s"
        notes.print(said, markup=False, soft_wrap=True)

    result = run_demo(engine, folder, seconds, announce)
    tell(result.summary.to_dict(), as_json=False, title=f"{result.summary.stream}: {result.summary.ended}")
    tell(result.to_dict(), as_json=False, title="against the truth of the scene")
    if not result.is_right:
        raise typer.Exit(DEMO_FAILED)
