"""From a checkpoint to the files of its quantized variant, one tensor at a time.

    checkpoint -> plan -> method -> format -> files

The plan says which layers are quantized and how, a method (or a calibration that ran before) gives their numbers,
the format packs these into tensors. What is written is an ordinary Hugging Face folder, its tensors named as in the
official checkpoints.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantize.checkpoint import INDEX, Checkpoint, Stored
from quantize.errors import BadPlan, CheckpointUnreadable
from quantize.formats import Format, layout, writer
from quantize.layer_names import EMBEDDING, HEAD, official_name
from quantize.output import writing
from quantize.plan import Plan
from quantize.progress import Progress
from quantize.quantized_weight import QuantizedWeight, check_finite
from quantize.shard_writer import ShardWriter, weight_files
from quantize.variant import Variant

QuantizeLayer = Callable[[str, Tensor, Variant], QuantizedWeight]
"""(layer's name, its weight, how it is to be stored) -> the quantized weight."""

ROWS = 256  # of a matrix that are compared at a time: a vocabulary's as float32 would take gigabytes


@dataclass(frozen=True, slots=True, eq=False)
class ExportPlan:
    """What will be written for a checkpoint: decided, and refused where it cannot be, before a number is touched."""

    source: Checkpoint
    layers: dict[str, Variant]  # quantized layers by official name
    kept: list[str]  # linear layers left as they are
    form: Format

    @classmethod
    def make(cls, source: Checkpoint, plan: Plan, format: str) -> ExportPlan:
        """Raises BadPlan, DoesNotDivide, FormatUnknown: everything that can be refused is refused here."""
        matrices = {
            official_name(name).removesuffix(".weight"): stored.shape
            for name, stored in source.stored.items()
            if name.endswith(".weight") and len(stored.shape) == 2
        }
        planned = {name: plan(name, shape) for name, shape in matrices.items()}
        layers = {name: variant for name, variant in planned.items() if variant is not None}
        if not layers:
            raise BadPlan("the plan leaves every layer as it is; there is nothing to quantize.")
        kept = [name for name, variant in planned.items() if variant is None and name != EMBEDDING]
        form = writer(format, layers)
        for name, variant in layers.items():
            layout(form, variant, _matrix(matrices[name]))
        return cls(source, layers, kept, form)

    def stored(self) -> dict[str, Stored]:
        """Every tensor of the variant, by its name in the file."""
        found: dict[str, Stored] = {}
        for name, stored in self.source.stored.items():
            layer, _, leaf = official_name(name).rpartition(".")
            if self._is_dropped(layer):
                continue
            if leaf == "weight" and layer in self.layers:
                parts = layout(self.form, self.layers[layer], _matrix(stored.shape))
                found |= {f"{layer}.{suffix}": part for suffix, part in parts.items()}
            else:
                found[f"{layer}.{leaf}"] = stored
        return found

    def _is_dropped(self, layer: str) -> bool:
        """Some writers store a tied head a second time; the quantized embedding is both."""
        return layer == HEAD and EMBEDDING in self.layers

    def write(self, folder: Path, quantize: QuantizeLayer, changed: Mapping[str, Tensor], progress: Progress) -> None:
        """The weights, the config and every other small file of the source, into an existing folder.

        Args:
            changed: tensors that are to stand in place of the checkpoint's own, by official name.

        Raises NotFinite naming the layer, OutputFailed, CheckpointUnreadable.
        """
        with ShardWriter(folder, self.stored()) as shards:
            names = list(self.source.files)
            for index, name in enumerate(names):
                official = official_name(name)
                layer, _, leaf = official.rpartition(".")
                progress(index, len(names), layer)
                if self._is_dropped(layer):
                    continue
                tensor = self.source.tensor(name)
                if leaf == "weight" and layer in self.layers:
                    check_finite(layer, tensor)
                    for suffix, part in self.form.pack(quantize(layer, tensor, self.layers[layer])).items():
                        shards.write(f"{layer}.{suffix}", part)
                else:
                    replacement = changed.get(official, tensor).to(tensor.dtype)
                    check_finite(official, replacement)
                    shards.write(official, replacement)
            progress(len(names), len(names), "")
        self._write_others(folder)

    def file_names(self) -> set[str]:
        """Of every file that `write` writes."""
        return {*weight_files(self.stored()), *(path.name for path in self._others()), "config.json"}

    def _others(self) -> list[Path]:
        """Files that are copied as they are: tokenizer, processor, template."""
        return [
            path
            for path in sorted(self.source.folder.iterdir())
            if path.is_file() and path.suffix != ".safetensors" and path.name not in (INDEX, "config.json")
        ]

    def _write_others(self, folder: Path) -> None:
        """And the config, with what was done to the weights."""
        for path in self._others():
            with writing(folder / path.name):
                shutil.copyfile(path, folder / path.name)
        config = _read_config(self.source.folder / "config.json")
        config["quantization_config"] = self.form.config(self.layers, self.kept)
        with writing(folder / "config.json"):
            (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    n, k = shape
    return n, k


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        return config
    except (OSError, ValueError) as error:
        raise CheckpointUnreadable(f"{path} cannot be read: {error}. Fetch it again.") from None


def weight_error(weight: Tensor, quantized: QuantizedWeight) -> float:
    """Squared error of the weights themselves, as a share of their squares."""
    error = energy = 0.0
    for part, stored in zip(weight.split(ROWS), quantized.split(ROWS), strict=True):
        error += float((stored.dequantize() - part).square_().sum(dtype=torch.float64))
        energy += float(part.float().square_().sum(dtype=torch.float64))
    return error / max(energy, 1e-300)
