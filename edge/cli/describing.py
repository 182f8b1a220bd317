"""`edge describe`: what a model says of pictures and clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import AsJson, ChosenModel, Device, Dtype, Fps, MaxPixels, Runner, Threads
from edge.cli.terminal import complain, discard_output, exit_code, load, notes, print_json
from edge.errors import EdgeError
from edge.media.limits import DEFAULT_MAX_PIXELS
from stream.errors import StreamError
from stream.printable import printable

if TYPE_CHECKING:
    from edge.commands.describe import Answer


def describe(
    files: Annotated[list[str], typer.Argument(help="pictures or clips")],
    prompt: Annotated[str | None, typer.Option(help="what to ask of each, instead of for a description")] = None,
    model: ChosenModel = None,
    fps: Fps = 2.0,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    max_tokens: Annotated[int, typer.Option(min=1, help="length of an answer, at most")] = 256,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Describe pictures and clips, one answer each.

    \b
    A picture and a clip, and another question than the usual one:
      edge describe photo.jpg clip.mp4 --model Qwen/Qwen2-VL-2B-Instruct
      edge describe photo.jpg --model Qwen/Qwen2-VL-2B-Instruct \\
          --prompt "What does the sign say?"

    Of a clip the model sees --fps frames per second. With --json there is one object per file: its text, boxes in
    fractions of the picture, why the answer ended, and tokens read and written.
    """
    from edge.cli.candour import chosen
    from edge.commands.describe import describe_file

    engine = load(chosen(model, files), device, dtype, runner, threads)
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
    notes.print(f"  {answer.cost()}", style="dim", markup=False, soft_wrap=True)
