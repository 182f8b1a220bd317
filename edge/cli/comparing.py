"""`edge compare`: what a variant loses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.options import AsJson, Device, Dtype, Runner, Threads
from edge.cli.terminal import bar, load, notes, print_json


def compare(
    source: Annotated[str, typer.Argument(metavar="SRC", help='the model before: "pocket", a folder, or a hub name')],
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="what was made from it")],
    data: Annotated[
        Path | None,
        typer.Option(help="conversations in a .jsonl file, or a folder of clips and pictures  [default: drawn scenes]"),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="examples at most  [default: every line of a file, else 128]")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    runner: Runner = "pytorch",
    threads: Threads = None,
    picture: Annotated[Path | None, typer.Option(help="draw what came out here, such as losses.png")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a variant loses: how far its expectations are from its source's, and whose answers are right.

    For example: edge compare my-model my-model-int4 --data prompts.jsonl --picture losses.png
    """
    from edge.cli.left_out import LeftOut
    from edge.cli.tables.losses import show_losses
    from edge.commands.compare import about_drawn, choose_examples, compare_models
    from edge.commands.comparison_picture import check_drawable, draw_comparison
    from edge.commands.outputs import check_outputs
    from edge.hub import model_path

    check_drawable(picture)
    check_outputs({"--picture": picture}, {"SRC": model_path(source), "VARIANT": model_path(variant), "--data": data})
    engines = [load(name, device, dtype, runner, threads) for name in (source, variant)]
    left_out = LeftOut()
    asked = choose_examples(data, samples, engines[0].limits, left_out)
    if data is None:
        notes.print(about_drawn(source), style="yellow" if source != "pocket" else "dim", markup=False, soft_wrap=True)
    with bar() as progress:
        found = compare_models(engines[0], engines[1], asked, progress, left_out)
    left_out.tell_count(len(found.same_text))
    found.left_out += left_out.found
    if picture is not None:
        draw_comparison(found, picture)
        notes.print(f"the picture is {picture}", markup=False, soft_wrap=True)
    if as_json:
        print_json(found.to_dict())
    else:
        show_losses(found, notes)
