"""`edge quantize`: from a checkpoint to a variant of it.

Puts together what quantize/ offers (a plan, a method, a format) and what only the engine knows (prompts through the
model's own template, and how its blocks run).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from edge.calibration.block_runners import CalibrationSetup, make_block_runners
from edge.calibration.prompts import CalibrationPrompt, PromptBuilder, digest, misfit
from edge.calibration.quantizers import CalibratedQuantizer, DataFreeQuantizer
from edge.engine.tokenizer import Tokenizer
from edge.errors import NoExamples
from edge.examples.example import ExampleSet, Report
from edge.examples.own import own_examples
from edge.examples.scenes import shown_scenes
from edge.machine import package_version
from edge.media.limits import DEFAULT_MAX_PIXELS, Limits
from edge.models.architecture import Config, read_config
from quantize.atomic_folder import atomic_folder, keep_only
from quantize.calibrate import calibrate
from quantize.calibration_store import CalibrationStore, store_folder
from quantize.checkpoint import Checkpoint
from quantize.errors import AlreadyQuantized, BadPlan, NothingToCalibrate
from quantize.export import ExportPlan
from quantize.layer_names import official_name
from quantize.manifest import Calibration, Manifest, hash_files
from quantize.methods import Method, Traits, find_method, traits_of
from quantize.plan import Plan, make_plan
from quantize.progress import Progress
from quantize.variant import Variant


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """What `edge quantize` was asked for."""

    preset: str = "edge"
    bits: int | None = None
    method: str = "gptq"
    group: str | None = None  # "32", "64", "128" or "channel"
    formats: tuple[str, ...] = ("gptq",)
    calibrate: Path | None = None  # a folder of clips and pictures, or a JSONL file; rendered scenes without one
    samples: int = 128
    seed: int = 0
    rules: tuple[str, ...] = ()
    method_options: Mapping[str, Any] = field(default_factory=dict)

    def variant(self) -> Variant:
        """How the language model is to be stored. Raises BadVariant, BadPlan."""
        bits = self.bits or (8 if self.preset == "int8" else 4)
        group = self.group or ("channel" if bits == 8 else "128")
        if group != "channel" and not group.isdecimal():
            raise BadPlan(f"groups of {group!r}; choose 32, 64, 128 or channel.")
        return Variant(bits, None if group == "channel" else int(group), not self.traits.chooses_zeros)

    @property
    def traits(self) -> Traits:
        """Of the method. Raises BadPlan."""
        return traits_of(find_method(self.method))

    def folders(self, out: Path) -> dict[str, Path]:
        """Where each format goes: to `out`, or with several of them beside it."""
        if len(self.formats) == 1:
            return {self.formats[0]: out}
        return {format: out.with_name(f"{out.name}-{format}") for format in self.formats}

    def resolve_method(self) -> Method:
        """The method with its options. Raises BadPlan."""
        method = find_method(self.method)
        if "act_order" in self.method_options and "act_order" not in signature(method).parameters:
            raise BadPlan(f"{self.method} has no order of columns to choose; --no-act-order is an option of gptq.")
        return partial(method, **self.method_options)


def quantize_model(
    folder: Path, base: str, out: Path, options: QuantizeOptions, device: str, progress: Progress,
    report: Report = lambda unusable: None,
) -> dict[Path, Manifest]:  # fmt: skip
    """Write the variant of the model in `folder`, in every format asked for with the same numbers.

    A run that was stopped goes on: blocks that calibration has finished are not calibrated again. `report` is told of
    examples that cannot be shown. Raises QuantizeError, and ModelError for a source that is no readable Qwen2-VL.
    """
    source = _Source(folder, read_config(folder), Checkpoint(folder))
    if source.config.quantization is not None:
        raise AlreadyQuantized(f"{folder} holds a variant already. Quantize the checkpoint it was made from.")
    method = options.resolve_method()
    plan = make_plan(options.preset, options.variant(), tied=source.config.tie_word_embeddings, overrides=options.rules)
    folders = options.folders(out)
    exports = {format: ExportPlan.make(source.checkpoint, plan, format) for format in folders}
    # Before any folder is made: a mistake in what is shown leaves nothing behind.
    shown = _show(source, options, report) if options.traits.needs_statistics else None
    written: dict[Path, Manifest] = {}
    with ExitStack() as stack:
        unfinished = {format: stack.enter_context(atomic_folder(path)) for format, path in folders.items()}
        quantizer = DataFreeQuantizer(method)
        if shown is not None:
            quantizer = _calibrate(source, plan, options, store_folder(out), device, progress, shown)
        for format, export in exports.items():
            keep_only(unfinished[format], export.file_names())
            export.write(unfinished[format], quantizer.quantize, quantizer.changed, progress)
            manifest = _manifest(base, options, format, export, quantizer, unfinished[format])
            manifest.write(unfinished[format])
            written[folders[format]] = manifest
    quantizer.remove_store()
    return written


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The model that is quantized."""

    folder: Path
    config: Config
    checkpoint: Checkpoint

    def file_marks(self) -> list[tuple[str, int, int]]:
        """Name, size and time of the weight files, which tell other weights from these without reading them."""
        found = [(str(path), path.stat()) for path in self.checkpoint.paths()]
        return [(name, facts.st_size, facts.st_mtime_ns) for name, facts in found]


def _manifest(
    base: str, options: QuantizeOptions, format: str, export: ExportPlan, quantizer: DataFreeQuantizer, folder: Path
) -> Manifest:
    return Manifest(
        base=base, preset=options.preset, method=options.method, format=format, layers=export.layers,
        tool=f"qwen2vl-edge {package_version('qwen2vl-edge')}", options=dict(options.method_options),
        kept=tuple(export.kept), calibration=quantizer.calibration, errors=quantizer.errors, files=hash_files(folder),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What the model is shown while it is calibrated."""

    what: str  # for people
    prompts: list[CalibrationPrompt]


def _show(source: _Source, options: QuantizeOptions, report: Report) -> _Shown:
    builder = PromptBuilder(Tokenizer.load(source.folder), source.config)
    try:
        examples = _examples(source, options, report)
        return _Shown(examples.what, [builder.build(example) for example in examples.examples])
    except NoExamples as error:
        raise NothingToCalibrate(str(error)) from None


def _calibrate(
    source: _Source, plan: Plan, options: QuantizeOptions, folder: Path, device: str, progress: Progress,
    shown: _Shown,
) -> CalibratedQuantizer:  # fmt: skip
    """Every block quantized behind the quantized ones before it; in `folder` until the export is done."""
    prompts = shown.prompts
    names = {official_name(name): name for name in source.checkpoint.files}
    setup = CalibrationSetup.on(device, source.config, prompts, lambda name: source.checkpoint.tensor(names[name]))
    seen = Calibration(shown.what, len(prompts), options.seed, digest(prompts))
    # Everything that the numbers depend on: a run that is asked for something else must not go on with these.
    settings = {
        "rules": [str(rule) for rule in plan.rules], "method": options.method, "options": repr(options.method_options),
        "prompts": seen.sha256, "weights": source.file_marks(), "device": setup.device.type, "dtype": str(setup.dtype),
    }  # fmt: skip
    store = CalibrationStore(folder, settings)
    runners, patches = make_block_runners(setup, list(names))
    method, fold = options.resolve_method(), options.traits.scales_inputs
    calibrate(runners, patches, plan, method, store, fold=fold, progress=progress)
    return CalibratedQuantizer(store, seen)


def _examples(source: _Source, options: QuantizeOptions, report: Report) -> ExampleSet:
    limits = Limits.load(source.folder, source.config.family.limits)
    if options.calibrate is not None:
        return own_examples(options.calibrate, options.samples, limits, report, misfit)
    drawn = shown_scenes(options.samples, options.seed, limits, DEFAULT_MAX_PIXELS)
    return ExampleSet("drawn scenes", options.samples, drawn)
