"""What a calibration has finished, on disk, so that a run that is stopped goes on and ends with the same bytes.

    settings.json              what the run was asked for; a store that was begun with other settings is begun anew
    <block>.safetensors        one for each finished block:
                               values:<layer>, scales:<layer>, zeros:<layer>   the quantized weight
                               changed:<tensor>                                what folding made of other tensors
                               metadata "layers": {layer: [variant, error]}
    activations.safetensors    the inputs of the next block, one tensor per prompt; metadata "next": its number

A file appears whole or not at all. Tensors lie on the CPU. Raises OutputFailed where the disk refuses to take a file,
CheckpointUnreadable where one of them cannot be read any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from quantize.calibrate import BlockResult
from quantize.checkpoint import readable
from quantize.output import writing
from quantize.quantized_weight import QuantizedWeight
from quantize.structure import BlockSpec
from quantize.variant import Variant

PARTS = ("values", "scales", "zeros")


def store_folder(out: Path) -> Path:
    """Of what is calibrated for the variant `out`."""
    return out.with_name(f"{out.name}.calibration")


class CalibrationStore:
    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Go on with the store in `folder`, or begin one. `settings`: everything that the numbers depend on."""
        self.folder = folder
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            path, wanted = folder / "settings.json", json.dumps(settings, sort_keys=True)
            if not path.exists() or path.read_bytes() != wanted.encode():
                for old in [*folder.glob("*.safetensors"), *folder.glob("*.partial")]:
                    old.unlink()
                partial = folder / f"{path.name}.partial"
                partial.write_text(wanted)
                partial.replace(path)

    def resume(self, samples: list[Tensor]) -> tuple[int, list[Tensor]]:
        """The number of the block to go on with, and its inputs; 0 and `samples` at the beginning."""
        path = self.folder / "activations.safetensors"
        if not path.exists():
            return 0, samples
        with _reading(path) as file:
            index = int(file.metadata()["next"])
            return index, [file.get_tensor(str(sample)) for sample in range(len(samples))]

    def save(self, block: BlockSpec, result: BlockResult, following: int, activations: Sequence[Tensor]) -> None:
        """A finished block, and the inputs of block number `following`."""
        tensors = {f"changed:{name}": tensor for name, tensor in result.changed.items()}
        for name, quantized in result.quantized.items():
            tensors |= {f"{part}:{name}": getattr(quantized, part).cpu().contiguous() for part in PARTS}
        facts = {name: [str(quantized.variant), result.errors[name]] for name, quantized in result.quantized.items()}
        self._write(f"{block.name}.safetensors", tensors, {"layers": json.dumps(facts)})
        waiting = {str(sample): x.cpu().contiguous() for sample, x in enumerate(activations)}
        self._write("activations.safetensors", waiting, {"next": str(following)})

    @cached_property
    def layers(self) -> dict[str, tuple[Path, Variant, float]]:
        """Every layer, once all are finished: the file that holds it, its variant, its error."""
        found: dict[str, tuple[Path, Variant, float]] = {}
        for path in self._blocks():
            with _reading(path) as file:
                for name, (variant, error) in json.loads(file.metadata()["layers"]).items():
                    found[name] = (path, Variant.parse(variant), error)
        return found

    def load(self, name: str) -> QuantizedWeight:
        path, variant, _ = self.layers[name]
        with _reading(path) as file:
            return QuantizedWeight(variant, *(file.get_tensor(f"{part}:{name}") for part in PARTS))

    def changed(self) -> dict[str, Tensor]:
        """Tensors that folding changed, by name: norms, and weights of layers that are not quantized themselves."""
        found: dict[str, Tensor] = {}
        for path in self._blocks():
            with _reading(path) as file:
                for key in file.keys():  # noqa: SIM118 - a safe_open is no mapping
                    kind, _, name = key.partition(":")
                    if kind == "changed":
                        found[name] = file.get_tensor(key)
        return found

    def _blocks(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem != "activations")

    def _write(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        partial = self.folder / f"{name}.partial"
        with writing(partial):
            save_file(tensors, partial, metadata=metadata)
            partial.replace(self.folder / name)


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    advice = f"Remove {path.parent}; calibration then begins anew."
    with readable(path, advice), safe_open(path, framework="pt") as file:
        yield file
