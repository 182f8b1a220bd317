"""`edge quantize`: a checkpoint in, a variant of it out.

Puts together what quantize/ offers (a plan, a method, a format) and what only the engine knows (prompts
through the real template, the way through the model's blocks).
"""

from __future__ import annotations

import pkgutil
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from edge.calibration.block_runners import Route, lead
from edge.calibration.prompts import Layout, Prompt, digest, drawn, from_folder
from edge.commands.watch import WatchOptions
from edge.engine.tokenizer import Tokenizer
from edge.media.limits import Limits
from edge.models.architecture import Config, read_config
from edge.models.qwen2_vl.config import Config as Qwen2VLConfig
from edge.runners.device_policy import choose_device, choose_dtype
from quantize.calibrate import Store, calibrate
from quantize.checkpoint import Checkpoint
from quantize.errors import AlreadyQuantized, BadPlan
from quantize.export import Outline, Progress, weight_error
from quantize.layer_names import official_name
from quantize.manifest import Calibration, Manifest, atomic_folder, hash_files
from quantize.methods import METHODS, Method
from quantize.methods.rtn import rtn
from quantize.plan import Plan, make_plan
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

CALIBRATED = {"gptq", "awq"}
ASYMMETRIC = {"awq", "hqq"}  # methods that choose a zero for each group, and gain by it


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    preset: str = "edge"
    bits: int | None = None
    method: str = "gptq"
    group: str | None = None  # "32", "64", "128" or "channel"
    formats: tuple[str, ...] = ("gptq",)
    calibrate: Path | None = None  # a folder of clips and pictures; drawn scenes without one
    samples: int = 128
    seed: int = 0
    rules: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method

    def variant(self) -> Variant:
        """How the language model is to be stored. Raises BadVariant, BadPlan."""
        bits = self.bits or (8 if self.preset == "int8" else 4)
        group = self.group or ("channel" if bits == 8 else "128")
        if group != "channel" and not group.isdecimal():
            raise BadPlan(f"groups of {group!r}; choose 32, 64, 128 or channel.")
        return Variant(bits, None if group == "channel" else int(group), self.method not in ASYMMETRIC)

    def folders(self, out: Path) -> dict[str, Path]:
        """Where each format goes: to `out`, or with several of them beside it."""
        if len(self.formats) == 1:
            return {self.formats[0]: out}
        return {format: out.with_name(f"{out.name}-{format}") for format in self.formats}

    def read_method(self) -> Method:
        if self.method not in METHODS and ":" not in self.method:
            raise BadPlan(f"{self.method!r} is no method; there are {', '.join(METHODS)}.")
        if "act_order" in self.options and self.method != "gptq":
            raise BadPlan(f"{self.method} has no order of columns to choose; --no-act-order is an option of gptq.")
        method: Method = pkgutil.resolve_name(METHODS.get(self.method, self.method))
        return partial(method, **self.options)


def quantize_model(
    folder: Path, base: str, out: Path, order: Order, device: str, progress: Progress
) -> dict[Path, Manifest]:
    """Write the variant of the model in `folder`, in every format asked for with the same numbers.

    What a stopped run has finished is not done again. Raises QuantizeError, and ModelError for a source that is
    no readable Qwen2-VL.
    """
    config, checkpoint = read_config(folder), Checkpoint(folder)
    if config.quantization is not None:
        raise AlreadyQuantized(f"{folder} holds a variant already. Quantize the checkpoint it was made from.")
    method = order.read_method()
    plan = make_plan(order.preset, order.variant(), tied=config.tie_word_embeddings, overrides=order.rules)
    folders = order.folders(out)
    outlines = {format: Outline.draw(checkpoint, plan, format) for format in folders}
    written: dict[Path, Manifest] = {}
    with ExitStack() as stack:
        unfinished = {format: stack.enter_context(atomic_folder(path)) for format, path in folders.items()}
        source = _Uncalibrated(method)
        if order.method in CALIBRATED:
            source = _calibrated(folder, config, checkpoint, plan, order, method, out, device, progress)
        for format, path in folders.items():
            outline = outlines[format]
            outline.write(unfinished[format], source.quantize, source.changed, progress)
            written[path] = Manifest(
                base=base, preset=order.preset, method=order.method, format=format, layers=outline.layers,
                tool=f"qwen2vl-edge {version('qwen2vl-edge')}", options=dict(order.options), kept=tuple(outline.kept),
                calibration=source.calibration, errors=source.errors, files=hash_files(unfinished[format]),
            )  # fmt: skip
            written[path].write(unfinished[format])
    if isinstance(source, _Calibrated):
        shutil.rmtree(source.store.folder)
    return written


class _Uncalibrated:
    """Layers quantized as they are read."""

    calibration: Calibration | None = None
    changed: Mapping[str, Tensor] = {}

    def __init__(self, method: Method) -> None:
        self.method = method
        self.errors: dict[str, float] = {}

    def quantize(self, name: str, weight: Tensor, variant: Variant) -> QuantizedWeight:
        codes = self.method(weight, variant)
        self.errors[name] = weight_error(weight, codes)
        return codes


class _Calibrated(_Uncalibrated):
    """Layers that calibration has quantized; what it did not see (the head) is rounded to nearest."""

    def __init__(self, store: Store, calibration: Calibration) -> None:
        super().__init__(rtn)
        self.store, self.calibration, self.changed = store, calibration, store.changed()
        self.errors = {name: error for name, (_, _, error) in store.layers.items()}

    def quantize(self, name: str, weight: Tensor, variant: Variant) -> QuantizedWeight:
        if name in self.store.layers:
            return self.store.load(name)
        return super().quantize(name, weight, variant)


def _calibrated(
    folder: Path, config: Config, checkpoint: Checkpoint, plan: Plan, order: Order, method: Method, out: Path,
    device: str, progress: Progress,
) -> _Calibrated:  # fmt: skip
    prompts = _prompts(folder, config, order)
    kind = "drawn scenes" if order.calibrate is None else "clips and pictures"
    seen = Calibration(kind, len(prompts), order.seed, digest(prompts))
    weights = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in checkpoint.paths()]
    settings = {
        "rules": [str(rule) for rule in plan.rules], "method": order.method, "options": repr(order.options),
        "prompts": seen.sha256, "weights": weights,
    }  # fmt: skip
    store = Store(out.with_name(f"{out.name}.calibration"), settings)
    chosen = choose_device(device)
    names = {official_name(name): name for name in checkpoint.files}
    route = Route(
        cast(Qwen2VLConfig, config),
        prompts,
        lambda name: checkpoint.tensor(names[name]),
        chosen,
        choose_dtype(config.dtype, chosen),
    )
    runners, patches = lead(route, list(names))
    calibrate(runners, patches, plan, method, store, fold=order.method == "awq", progress=progress)
    return _Calibrated(store, seen)


def _prompts(folder: Path, config: Config, order: Order) -> list[Prompt]:
    limits = Limits.load(folder, config.family.limits)
    layout = Layout(Tokenizer.load(folder), limits.cell, config.video_token_id)
    if order.calibrate is None:
        shown = drawn(order.samples, order.seed, limits, WatchOptions().max_pixels)
    else:
        shown = from_folder(order.calibrate, order.samples, limits, WatchOptions().max_pixels)
    return [layout.prompt(spoken) for spoken in shown]
