"""`edge`: parse, call, print.

Exit codes:

    0    the work is done; also a watch that Ctrl-C has stopped, or whose reader had enough
    1    a defect of ours, with a traceback
    2    wrong usage: an option that means nothing, an output that is an input
    3    the source failed
    4    the model could not be loaded
    5    the question could not be asked
    6    the demo's answers were wrong
    7    out of memory
    8    a variant could not be made, or is damaged
    9    answers could not be delivered: a full disk, a file that cannot be opened, a dead sink
    130  Ctrl-C before the work was done, whatever it interrupted
"""

from __future__ import annotations

import sys

import typer

from edge import threads
from edge.cli import comparing, demonstrating, describing, device, serving, variants, watching
from edge.cli.ending import ended_in_one_line, escape_what_cannot_be_shown

app = typer.Typer(
    name="edge",
    help="Watch live video with a Qwen2-VL on your own small machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    watching.watch,
    serving.serve,
    serving.check_config,
    describing.describe,
    demonstrating.demo,
    variants.quantize,
    comparing.compare,
    variants.inspect,
    variants.verify,
    variants.random_model,
    device.profile,
    device.plan,
    device.doctor,
):
    app.command()(command)


def main() -> None:
    """The console script."""
    escape_what_cannot_be_shown()
    threads.configure()
    if "" not in sys.path:
        sys.path.append("")  # so that "plugins:Lamp" finds a plugins.py here; last, so that it hides nothing
    with ended_in_one_line():
        app()
