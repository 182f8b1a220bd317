"""Weights from a Hugging Face folder into a model, one layer at a time.

A layer is quantized when its tensors are, whatever the configuration says
to leave alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edge.errors import ModelUnreadable
from edge.models.architecture import Config, Network, unreadable_as_model
from edge.models.builder import ModelBuilder
from edge.models.heap import compact_heap
from quantize.checkpoint import Checkpoint
from quantize.errors import QuantizeError
from quantize.formats import Format, reader
from quantize.layer_names import HEAD, official_name
from quantize.quantized_weight import QuantizedWeight


def load_model(
    folder: Path, config: Config, dtype: torch.dtype, device: torch.device, kernel: str = "auto", *, fuse: bool = True
) -> Network:
    """The model of a folder, ready to run; `kernel` and `fuse` are the builder's.

    Raises ModelUnreadable naming the file, the layer or the tensor.
    """
    try:
        form = None if config.quantization is None else reader(config.quantization)
    except QuantizeError as error:
        raise ModelUnreadable(f"{folder / 'config.json'}: {error}") from None
    with unreadable_as_model(), compact_heap():
        builder = ModelBuilder(config, dtype, device, kernel, fuse=fuse)
        return _Loading(Checkpoint(folder), form, builder, config.family.title).run()


class _Loading:
    """One model on its way from files to memory."""

    def __init__(self, checkpoint: Checkpoint, form: Format | None, builder: ModelBuilder, title: str) -> None:
        self.checkpoint, self.form, self.builder, self.title = checkpoint, form, builder, title

    def run(self) -> Network:
        for layer, names in _by_layer(self.checkpoint.files).items():
            if self.form is not None and names.keys() & self.form.suffixes:
                self._place_quantized(layer, names, self.form)
            else:
                self._place_plain(names)
        if missing := self.builder.missing:
            raise ModelUnreadable(
                f"{self.checkpoint.folder} lacks {len(missing)} of {len(self.builder.expected)} tensors, "
                f"first {min(missing)!r}. The folder is incomplete or holds another model."
            )
        return self.builder.finish()

    def _place_plain(self, names: Mapping[str, str]) -> None:
        for stored in names.values():
            name = official_name(stored)
            if name == f"{HEAD}.weight" and self.builder.tied:
                continue  # some writers store the tied head a second time
            tensor = self.checkpoint.tensor(stored)
            self._check(name, tensor)
            self.builder.plain(name, tensor)

    def _check(self, name: str, tensor: Tensor) -> None:
        folder, expected = self.checkpoint.folder, self.builder.expected
        if name not in expected:
            raise ModelUnreadable(f"{folder} holds a tensor {name!r} that a {self.title} of its config does not have.")
        if tuple(tensor.shape) != expected[name]:
            raise ModelUnreadable(
                f"{folder}: tensor {name!r} has shape {tuple(tensor.shape)}, its config asks for {expected[name]}."
            )

    def _place_quantized(self, layer: str, names: Mapping[str, str], form: Format) -> None:
        shape = self.builder.matrix(layer)
        if shape is None:
            raise ModelUnreadable(
                f"{self.checkpoint.folder} holds quantized tensors of {layer!r}, which is no matrix of a {self.title} "
                "of its config."
            )
        for leaf in names.keys() - form.suffixes - {"bias"}:
            raise self._unreadable(layer, names, f"holds {leaf!r} beside its quantized tensors")
        self.builder.quantized(layer, self._quantized(layer, names, form, shape), self._bias(layer, names))

    def _quantized(self, layer: str, names: Mapping[str, str], form: Format, shape: tuple[int, int]) -> QuantizedWeight:
        found = {leaf: self.checkpoint.tensor(stored) for leaf, stored in names.items() if leaf != "bias"}
        tensors = {leaf: tensor.to(device=self.builder.device, copy=True) for leaf, tensor in found.items()}
        try:
            return form.unpack(tensors, shape, layer)
        except QuantizeError as error:
            raise ModelUnreadable(f"{self._file(names)}: {error}") from None

    def _bias(self, layer: str, names: Mapping[str, str]) -> Tensor | None:
        """A layer's bias, where the architecture has one. Some writers gave every quantized layer one, of zeros."""
        name = f"{layer}.bias"
        found = self.checkpoint.tensor(names["bias"]) if "bias" in names else None
        if name not in self.builder.expected:
            if found is not None and bool((found != 0).any()):
                raise self._unreadable(layer, names, f"holds a bias, which it does not have in a {self.title}")
            return None
        if found is None:
            raise self._unreadable(layer, names, "lacks its bias")
        self._check(name, found)
        return found

    def _file(self, names: Mapping[str, str]) -> Path:
        return self.checkpoint.files[next(iter(names.values()))]

    def _unreadable(self, layer: str, names: Mapping[str, str], what: str) -> ModelUnreadable:
        return ModelUnreadable(f"{self._file(names)}: the quantized layer {layer} {what}.")


def _by_layer(stored: Iterable[str]) -> dict[str, dict[str, str]]:
    """Layer (official name) -> "weight", "bias", "qweight" ... -> the tensor's name in the file."""
    layers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in stored:
        layer, _, leaf = official_name(name).rpartition(".")
        layers[layer][leaf] = name
    return dict(layers)
