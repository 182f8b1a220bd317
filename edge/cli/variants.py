"""`edge quantize`, `edge inspect`, `edge verify`, `edge random-model`: making model folders and looking at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.options import AsJson, Device
from edge.cli.terminal import VARIANT_FAILED, bar, notes, print_json

if TYPE_CHECKING:
    from edge.commands.inspect import Inspection


def quantize(
    source: Annotated[str, typer.Argument(metavar="SRC", help='"pocket", a model folder, or a hub name')],
    out: Annotated[Path, typer.Argument(help="the folder to write; it must not be there yet")],
    engine: Annotated[
        str | None, typer.Option("--for", help="what it is for: edge, transformers or vllm; chooses preset and format")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="which layers: official, edge or int8  [default: edge]")] = None,
    bits: Annotated[int | None, typer.Option(help="4 or 8, of the language model  [default: the preset's]")] = None,
    method: Annotated[str, typer.Option(help="how numbers are chosen: rtn, hqq, awq or gptq")] = "gptq",
    group: Annotated[str | None, typer.Option(help="weights per scale: 32, 64, 128 or channel")] = None,
    format: Annotated[
        str | None, typer.Option(help="stored as gptq, awq, compressed-tensors, or several  [default: gptq]")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="conversations in a .jsonl file, or a folder of clips and pictures  [default: drawn scenes]"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="prompts to calibrate with, at most")] = 128,
    seed: int = 0,
    layer: Annotated[list[str] | None, typer.Option(help="a rule of your own, e.g. 'visual.*=keep'")] = None,
    act_order: Annotated[
        bool, typer.Option("--act-order/--no-act-order", help="gptq: the strongest inputs first")
    ] = True,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write an INT4 or INT8 variant of a model. A run that was stopped goes on where it was.

    For example: edge quantize my-model my-model-int4 --calibrate prompts.jsonl --for edge
    """
    from edge.cli.left_out import LeftOut
    from edge.cli.unfinished import unfinished_told
    from edge.commands.engine_presets import choose_preset
    from edge.commands.error_picture import draw_errors
    from edge.commands.inspect import inspect_folder
    from edge.commands.outputs import check_outputs, variant_outputs
    from edge.commands.quantize import QuantizeOptions, quantize_model
    from edge.hub import find_model, model_path

    rules = tuple(layer or ())
    order = QuantizeOptions(
        bits=bits, method=method, group=group, calibrate=calibrate, samples=samples, seed=seed, rules=rules,
        method_options={} if act_order else {"act_order": False},
        **choose_preset(engine, preset, format, method, rules),
    )  # fmt: skip
    read = {"the source": model_path(source), "--calibrate": calibrate}
    check_outputs(variant_outputs(out, order.folders(out).values()), read)
    left_out = LeftOut()
    with unfinished_told(out, order.folders(out).values()), bar() as progress:
        written = quantize_model(find_model(source), source, out, order, device, progress, left_out)
    for manifest in list(written.values())[:1]:
        left_out.tell_count(manifest.calibration.num_samples if manifest.calibration else 0)
    for folder, manifest in written.items():
        if not draw_errors(manifest, folder.with_name(f"{folder.name}-errors.png")):
            notes.print("no picture of the errors: matplotlib is not installed", style="dim")
        _tell_inspection(inspect_folder(folder), str(folder), as_json)


def inspect(
    folder: Annotated[str, typer.Argument(help="a model folder, or a hub name")], as_json: AsJson = False
) -> None:
    """Tell what a model stores and how, and what it takes at run time.

    For example: edge inspect my-model-int4
    """
    from edge.commands.inspect import inspect_folder
    from edge.hub import find_model

    _tell_inspection(inspect_folder(find_model(folder)), folder, as_json)


def verify(folder: Annotated[Path, typer.Argument(help="a variant")], as_json: AsJson = False) -> None:
    """Tell whether a variant is whole: its files' hashes, its numbers, its shapes.

    For example: edge verify my-model-int4
    """
    from edge.commands.verify import verify_folder
    from edge.hub import find_model

    with bar() as progress:
        problems = verify_folder(find_model(str(folder)), progress)
    if as_json:
        print_json({"folder": str(folder), "problems": problems})
    for problem in problems:
        notes.print(problem, style="red", markup=False, soft_wrap=True)
    if problems:
        raise typer.Exit(VARIANT_FAILED)
    notes.print(f"{folder} is whole", style="green", markup=False, soft_wrap=True)


def random_model(
    folder: Annotated[Path, typer.Argument(help="the folder to write; it must not be there yet")],
    shape: Annotated[str, typer.Option(help="2b (4.4 GB), 7b or pocket")] = "2b",
    seed: int = 0,
) -> None:
    """Write a model folder of a published shape with random weights, for tools that want files.

    For example: edge random-model random-2b --shape 2b
    """
    from edge.models.random import write_random_folder

    with bar() as progress:
        write_random_folder(shape, folder, seed, progress)
    notes.print(f"{folder}: the {shape} shape in bfloat16; it says nothing sensible", markup=False, soft_wrap=True)


def _tell_inspection(found: Inspection, title: str, as_json: bool) -> None:
    from edge.cli.tables.inspection import show_inspection

    if as_json:
        print_json(found.to_dict())
    else:
        show_inspection(found, title, notes)
