"""`edge`: parse, call, print.

Exit codes: 0 the work is done (a watch that was stopped with Ctrl-C or whose reader had enough, too); 1 a defect of
ours, with a traceback; 2 wrong usage; 3 the source failed; 4 the model could not be loaded; 5 the question could not be
asked; 6 the demo's answers were wrong; 7 out of memory; 8 a variant could not be made, or is damaged; 9 answers
could not be delivered.
"""

from __future__ import annotations

import sys

import typer

from edge.cli import device, variants, watching
from edge.cli.terminal import OUT_OF_MEMORY, UsageError, complain, exit_code, write_out
from edge.errors import EdgeError, is_out_of_memory
from quantize.errors import QuantizeError
from stream.errors import StreamError

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
    watching.describe,
    watching.demo,
    variants.quantize,
    variants.inspect,
    variants.verify,
    variants.random_model,
    device.profile,
    device.plan,
    device.doctor,
):
    app.command()(command)


def main() -> None:
    """The console script: what a user can do something about is one line, without a traceback."""
    try:
        try:
            app()
        finally:
            write_out()
    except (StreamError, EdgeError, QuantizeError, UsageError) as error:
        complain(error)
        sys.exit(exit_code(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        complain(error)
        sys.exit(OUT_OF_MEMORY)
