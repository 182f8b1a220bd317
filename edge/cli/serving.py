"""`edge serve`: a daemon that watches cameras, and answers over HTTP."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import AsJson, ChosenModel, Device, Dtype, Fps, Runner, Threads
from edge.cli.terminal import complain, load, notes, options_checked, tell
from edge.errors import BadConfig, EdgeError, NotAllowed
from stream.printable import printable

if TYPE_CHECKING:
    from types import FrameType

    from edge.config.keys import Config
    from edge.daemon.service import Service

TOKEN, READ_TOKEN = "EDGE_TOKEN", "EDGE_READ_TOKEN"  # in the environment: arguments can be read by everybody
LOOPBACK = "127.0.0.1"
GRACE = 3  # seconds for answers that are being read when the daemon ends


def serve(
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="as for edge watch; front=rtsp://... gives it a name"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="a file that says all this, and for each camera its own")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="two drawn scenes, played by RTSP cameras on loopback")] = False,
    model: ChosenModel = None,
    describe: Annotated[str | None, typer.Option(help="what to ask for as a description")] = None,
    ground: Annotated[str | None, typer.Option(help='what to draw boxes around: "person, dog"')] = None,
    ask: Annotated[list[str] | None, typer.Option(help="a yes/no question; may be given several times")] = None,
    fps: Fps = 2.0,
    seconds: Annotated[float | None, typer.Option(help="how far every answer looks back, at least")] = None,
    every: Annotated[float, typer.Option(help="seconds of video between answers; 0: as often as possible")] = 0.0,
    max_age: Annotated[
        float | None, typer.Option(min=0.001, help="seconds; an older answer is marked as stale")
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen at; all but this machine's own need a token")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8765,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="a name under which others reach this daemon, such as camera-box.local")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="a file that keeps all events, to be searched and resumed")] = None,
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
      edge serve -c edge.yaml        # SIGHUP reads it again

    Then open http://127.0.0.1:8765/, or ask: POST /v1/streams/front/ask, /v1/chat/completions. /openapi.json tells all.
    For other machines: EDGE_TOKEN=... edge serve --host 0.0.0.0 --allow-host camera-box.local ... EDGE_READ_TOKEN may
    look and ask, and change nothing.
    """
    from edge.cli.candour import chosen
    from edge.config.reading import config_of
    from edge.daemon.demo import DESCRIBE, LABELS, demo_cameras
    from edge.daemon.guard import is_loopback
    from stream.naming import name_cameras

    with ExitStack() as open_, options_checked():
        if config is not None:
            if source or demo or model or describe or ground or ask:
                raise ValueError("-c FILE says what is watched; leave SOURCE, --demo, --model and questions away.")
            _run(_Reloading(config), open_)
            return
        token, read_token = (os.environ.get(name) or None for name in (TOKEN, READ_TOKEN))
        if not is_loopback(host) and token is None:
            raise NotAllowed(f"others would reach {host}: set {TOKEN} in the environment, or listen at {LOOPBACK}.")
        words, labels = list(source or ()), [label.strip() for label in (ground or "").split(",") if label.strip()]
        if demo:
            words += open_.enter_context(demo_cameras())
            labels, describe = labels or list(LABELS), describe or DESCRIBE
        cameras = name_cameras(words) if words else []
        addresses = [camera.address for camera in cameras]
        name = "pocket" if demo and model is None else chosen(model, addresses, [*(ask or ()), *labels])
        asked = {
            "describe": describe, "ask": ask or (), "ground": labels,
            "fps": fps, "seconds": seconds, "every": every, "max_age": max_age,
        }  # fmt: skip
        settings = config_of(
            {
                "model": {"name": name, "device": device, "dtype": dtype, "runner": runner, "threads": threads},
                "server": {
                    "host": host, "port": port, "allow_hosts": allow_host or (),
                    "token": token, "read_token": read_token,
                },
                "store": {"path": None if store is None else str(store)},
                "cameras": {
                    camera.name or f"camera{number}": {"address": camera.address, **asked}
                    for number, camera in enumerate(cameras, start=1)
                },
            }
        )  # fmt: skip
        _run(_Reloading(None, settings), open_)


class _Reloading:
    """The configuration in force, read anew when somebody asks for it."""

    def __init__(self, path: Path | None, config: Config | None = None) -> None:
        from edge.config.reading import read_config

        self.path = path
        self.config = config or read_config(path or Path())

    def reload(self, service: Service) -> str:
        """What changed, in words. Raises BadConfig, and then nothing has changed."""
        from edge.config.applying import apply
        from edge.config.reading import read_config

        if self.path is None:
            raise BadConfig("the daemon was started without a configuration file. Start it with -c FILE.")
        new = read_config(self.path)
        said = str(apply(service, self.config, new))
        self.config = new
        return said

    def on_signal(self, service: Service) -> None:
        """In a thread of its own: a camera's goodbye takes seconds."""
        try:
            notes.print(printable(f"{self.path}: {self.reload(service)}"), markup=False, soft_wrap=True)
        except EdgeError as error:
            complain(error)


def check_config(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="of edge serve -c")] = None,
    as_reference: Annotated[bool, typer.Option("--reference", help="every key with its meaning, as Markdown")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the file of a daemon: every mistake with its line, nothing is opened.

    \b
      edge check-config edge.yaml
      edge check-config --reference
    """
    from edge.config.reading import read_config
    from edge.config.reference import reference

    if as_reference:
        typer.echo(reference(), nl=False)
        return
    with options_checked():
        if file is None:
            raise ValueError("name a FILE, or ask for --reference.")
        config = read_config(file)
        for name, camera in config.cameras.items():
            try:
                camera.wanted()
            except Exception as error:
                raise BadConfig(f"{file}: cameras.{name}: {error}") from error
    facts = {name: f"{camera}{'' if camera.enabled else ' (not enabled)'}" for name, camera in config.cameras.items()}
    tell({"model": config.model.name, **facts}, as_json, title=f"{file}: no mistake")


def _run(settings: _Reloading, open_: ExitStack) -> None:
    from edge.api import Model
    from edge.config.applying import apply
    from edge.config.keys import Config
    from edge.daemon.service import Service
    from edge.daemon.store import EventStore

    model, kept = settings.config.model, settings.config.store
    store = None
    if kept.path is not None:
        store = EventStore(Path(kept.path), max_age=kept.max_age, max_bytes=kept.max_bytes)
        open_.callback(store.close)
    service = Service(Model(load(model.name, model.device, model.dtype, model.runner, model.threads)), store=store)
    open_.callback(service.close)
    apply(service, Config(), settings.config)
    signal.signal(signal.SIGHUP, lambda *_: Thread(target=settings.on_signal, args=[service]).start())
    _serve(service, settings)


def _serve(service: Service, settings: _Reloading) -> None:
    import uvicorn

    from edge.daemon.app import create_app
    from edge.daemon.guard import Rules
    from edge.daemon.supervisor import Supervisor

    its = settings.config.server
    supervisor = Supervisor(os.environ, service.advances)
    rules = Rules(its.token, its.read_token, frozenset(its.allow_hosts))

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Listeners end first: nobody waits for a stream of events to end by itself."""
            supervisor.ending()
            service.end_listeners()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            if self.started:
                at = self.servers[0].sockets[0].getsockname()
                said = f"watching {len(service.names())} cameras; open http://{at[0]}:{at[1]}/"
                notes.print(printable(said), markup=False, soft_wrap=True)
                supervisor.ready()

    config = uvicorn.Config(
        create_app(service, rules, reload=lambda: settings.reload(service)), host=its.host, port=its.port,
        log_level="warning", timeout_graceful_shutdown=GRACE, server_header=False,
    )  # fmt: skip
    Server(config).run()
