"""`edge serve`: a daemon that watches cameras, and answers over HTTP."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import ChosenModel, Device, Dtype, Fps, Runner, Threads
from edge.cli.terminal import load, notes, options_checked
from edge.errors import NotAllowed
from stream.printable import printable

if TYPE_CHECKING:
    from types import FrameType

    from edge.daemon.guard import Rules
    from edge.daemon.service import Service
    from edge.daemon.wanted import Wanted

TOKEN, READ_TOKEN = "EDGE_TOKEN", "EDGE_READ_TOKEN"  # in the environment: arguments can be read by everybody
LOOPBACK = "127.0.0.1"
GRACE = 3  # seconds for answers that are being read when the daemon ends


def serve(
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="as for edge watch; front=rtsp://... gives it a name"),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="two drawn scenes, played by RTSP cameras on loopback")] = False,
    model: ChosenModel = None,
    describe: Annotated[str | None, typer.Option(help="what to ask for as a description")] = None,
    ground: Annotated[str | None, typer.Option(help='what to draw boxes around: "person, dog"')] = None,
    ask: Annotated[list[str] | None, typer.Option(help="a yes/no question; may be given several times")] = None,
    fps: Fps = 2.0,
    seconds: Annotated[float | None, typer.Option(help="how far every answer looks back, at least")] = None,
    every: Annotated[float, typer.Option(help="seconds of video between answers; 0: as often as possible")] = 0.0,
    host: Annotated[str, typer.Option(help="address to listen at; all but this machine's own need a token")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8765,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="a name under which others reach this daemon, such as camera-box.local")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
) -> None:
    """Watch cameras as a daemon: a page, an API like OpenAI's, events as they come.

    \b
      edge serve --demo
      edge serve front=rtsp://192.168.1.20/live back=rtsp://192.168.1.21/live \\
          --model Qwen/Qwen2-VL-2B-Instruct --ask "Is the door open?"

    Then open http://127.0.0.1:8765/, or ask: POST /v1/streams/front/ask, /v1/chat/completions. /openapi.json tells all.
    For other machines: EDGE_TOKEN=... edge serve --host 0.0.0.0 --allow-host camera-box.local ... EDGE_READ_TOKEN may
    look and ask, and change nothing.
    """
    from edge.api import Model
    from edge.cli.candour import chosen
    from edge.daemon.demo import DESCRIBE, LABELS, demo_cameras
    from edge.daemon.guard import Rules, is_loopback
    from edge.daemon.service import Service
    from edge.daemon.wanted import wanted
    from stream.naming import name_cameras

    token = os.environ.get(TOKEN) or None
    if not is_loopback(host) and token is None:
        raise NotAllowed(f"others would reach {host}: set {TOKEN} in the environment, or listen at 127.0.0.1.")
    with ExitStack() as open_, options_checked():
        labels = [label.strip() for label in (ground or "").split(",") if label.strip()]
        words = list(source or ())
        if demo:
            words += open_.enter_context(demo_cameras())
            labels, describe = labels or list(LABELS), describe or DESCRIBE
        cameras = name_cameras(words) if words else []
        asked: dict[str, Wanted] = {
            camera.shown: wanted(
                camera.address, describe=describe, ask=ask or (), ground=labels, fps=fps, seconds=seconds, every=every
            )
            for camera in cameras
        }
        addresses = [camera.address for camera in cameras]
        name = "pocket" if demo and model is None else chosen(model, addresses, [*(ask or ()), *labels])
        service = Service(Model(load(name, device, dtype, runner, threads)))
        open_.callback(service.close)
        for camera, its in asked.items():
            service.add(camera, its)
        _serve(service, Rules(token, os.environ.get(READ_TOKEN) or None, frozenset(allow_host or ())), host, port)


def _serve(service: Service, rules: Rules, host: str, port: int) -> None:
    import uvicorn

    from edge.daemon.app import create_app

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Listeners end first: nobody waits for a stream of events to end by itself."""
            service.end_listeners()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            if self.started:
                at = self.servers[0].sockets[0].getsockname()
                said = f"watching {len(service.names())} cameras; open http://{at[0]}:{at[1]}/"
                notes.print(printable(said), markup=False)

    config = uvicorn.Config(
        create_app(service, rules), host=host, port=port, log_level="warning", timeout_graceful_shutdown=GRACE,
        server_header=False,
    )  # fmt: skip
    Server(config).run()
