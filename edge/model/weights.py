"""Weights from a Hugging Face folder into a model, one layer at a time.

Knows both spellings of the tensor names. A layer is quantized when its tensors are, whatever the configuration says
to leave alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from edge.errors import ModelUnreadable
from edge.model.config import Config
from edge.model.heap import compact_heap
from edge.model.placing import HEAD, Placing
from edge.model.qwen2vl import Qwen2VL
from quantize.checkpoint import Checkpoint
from quantize.codes import Codes
from quantize.errors import QuantizeError
from quantize.formats import Format, reader

# The official checkpoints write `visual.*` and `model.*`; transformers 5 writes `model.visual.*` and
# `model.language_model.*`. The first pattern that matches decides.
SPELLINGS = (
    (re.compile(r"^(model\.)?visual\."), "visual."),
    (re.compile(r"^(model\.)?language_model\.(model\.)?"), "language."),
    (re.compile(r"^model\."), "language."),
)


def load_model(folder: Path, config: Config, dtype: torch.dtype, device: torch.device, kernel: str = "auto") -> Qwen2VL:
    """The model of a folder, ready to run; quantized layers multiply with `kernel`, a name in `edge.kernels.KERNELS`
    or "auto". Raises ModelUnreadable naming the file, the layer or the tensor."""
    try:
        form = None if config.quantization is None else reader(config.quantization)
    except QuantizeError as error:
        raise ModelUnreadable(f"{folder / 'config.json'}: {error}") from None
    try:
        with compact_heap():
            return _Loading(Checkpoint(folder), form, Placing(config, dtype, device, kernel)).run()
    except QuantizeError as error:
        raise ModelUnreadable(str(error)) from None


def our_name(name: str) -> str:
    for pattern, spelling in SPELLINGS:
        if pattern.match(name):
            return pattern.sub(spelling, name)
    return name


def original_name(name: str) -> str:
    """The inverse of `our_name`, in the official checkpoints' spelling."""
    return re.sub(r"^language\.", "model.", name)


class _Loading:
    """One model on its way from files to memory."""

    def __init__(self, checkpoint: Checkpoint, form: Format | None, placing: Placing) -> None:
        self.checkpoint, self.form, self.placing = checkpoint, form, placing

    def run(self) -> Qwen2VL:
        for layer, names in _by_layer(self.checkpoint.files).items():
            if self.form is not None and names.keys() & self.form.suffixes:
                self._place_quantized(layer, names, self.form)
            else:
                self._place_plain(names)
        if missing := self.placing.missing:
            raise ModelUnreadable(
                f"{self.checkpoint.folder} lacks {len(missing)} of {len(self.placing.expected)} tensors, "
                f"first {min(missing)!r}. The folder is incomplete or holds another model."
            )
        return self.placing.finish()

    def _place_plain(self, names: Mapping[str, str]) -> None:
        for stored in names.values():
            name = our_name(stored)
            if name == f"{HEAD}.weight" and self.placing.tied:
                continue  # some writers store the tied head a second time
            tensor = self.checkpoint.tensor(stored)
            self._check(name, tensor)
            self.placing.plain(name, tensor)

    def _check(self, name: str, tensor: Tensor) -> None:
        folder, expected = self.checkpoint.folder, self.placing.expected
        if name not in expected:
            raise ModelUnreadable(f"{folder} holds a tensor {name!r} that a Qwen2-VL of its config does not have.")
        if tuple(tensor.shape) != expected[name]:
            raise ModelUnreadable(
                f"{folder}: tensor {name!r} has shape {tuple(tensor.shape)}, its config asks for {expected[name]}."
            )

    def _place_quantized(self, layer: str, names: Mapping[str, str], form: Format) -> None:
        shape = self.placing.matrix(layer)
        if shape is None:
            raise ModelUnreadable(
                f"{self.checkpoint.folder} holds quantized tensors of {layer!r}, which is no matrix of a Qwen2-VL of "
                "its config."
            )
        for leaf in names.keys() - form.suffixes - {"bias"}:
            raise self._unreadable(layer, names, f"holds {leaf!r} beside its quantized tensors")
        self.placing.quantized(layer, self._codes(layer, names, form, shape), self._bias(layer, names))

    def _codes(self, layer: str, names: Mapping[str, str], form: Format, shape: tuple[int, int]) -> Codes:
        found = {leaf: self.checkpoint.tensor(stored) for leaf, stored in names.items() if leaf != "bias"}
        tensors = {leaf: tensor.to(device=self.placing.device, copy=True) for leaf, tensor in found.items()}
        try:
            return form.unpack(tensors, shape, original_name(layer))
        except QuantizeError as error:
            raise ModelUnreadable(f"{self._file(names)}: {error}") from None

    def _bias(self, layer: str, names: Mapping[str, str]) -> Tensor | None:
        """A layer's bias, where the architecture has one. Some writers gave every quantized layer one, of zeros."""
        name = f"{layer}.bias"
        found = self.checkpoint.tensor(names["bias"]) if "bias" in names else None
        if name not in self.placing.expected:
            if found is not None and bool((found != 0).any()):
                raise self._unreadable(layer, names, "holds a bias, which it does not have in a Qwen2-VL")
            return None
        if found is None:
            raise self._unreadable(layer, names, "lacks its bias")
        self._check(name, found)
        return found

    def _file(self, names: Mapping[str, str]) -> Path:
        return self.checkpoint.files[next(iter(names.values()))]

    def _unreadable(self, layer: str, names: Mapping[str, str], what: str) -> ModelUnreadable:
        return ModelUnreadable(f"{self._file(names)}: the quantized layer {original_name(layer)} {what}.")


def _by_layer(stored: Iterable[str]) -> dict[str, dict[str, str]]:
    """Layer (our spelling) -> "weight", "bias", "qweight" ... -> the tensor's name in the file."""
    layers: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in stored:
        layer, _, leaf = our_name(name).rpartition(".")
        layers[layer][leaf] = name
    return dict(layers)
