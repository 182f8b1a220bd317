"""Weights from a Hugging Face folder into a model, one layer at a time.

The model is built without memory (on the meta device) and each layer takes its place as it is read,
so memory never holds the weights twice. Knows both spellings of the tensor names. A layer is quantized when
its tensors are, whatever the configuration says to leave alone.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edge.errors import ModelUnreadable
from edge.kernels import Kernel, choose
from edge.model.config import Config
from edge.model.quantized import QuantEmbedding, QuantLinear
from edge.model.qwen2vl import Qwen2VL
from quantize.checkpoint import Checkpoint
from quantize.codes import Codes
from quantize.errors import QuantizeError
from quantize.formats import Format, reader

log = logging.getLogger(__name__)

# The official checkpoints write `visual.*` and `model.*`; transformers 5 writes `model.visual.*` and
# `model.language_model.*`. The first pattern that matches decides.
SPELLINGS = (
    (re.compile(r"^(model\.)?visual\."), "visual."),
    (re.compile(r"^(model\.)?language_model\.(model\.)?"), "language."),
    (re.compile(r"^model\."), "language."),
)
EMBEDDING, HEAD = "language.embed_tokens", "lm_head"


def load_model(folder: Path, config: Config, dtype: torch.dtype, device: torch.device, kernel: str = "auto") -> Qwen2VL:
    """The model of a folder, ready to run; quantized layers multiply with `kernel`, a name in `edge.kernels.KERNELS`
    or "auto". Raises ModelUnreadable naming the file, the layer or the tensor."""
    try:
        form = None if config.quantization is None else reader(config.quantization)
    except QuantizeError as error:
        raise ModelUnreadable(f"{folder / 'config.json'}: {error}") from None
    try:
        model = _Loading(Checkpoint(folder), config, form, dtype, device, kernel).run()
    except QuantizeError as error:
        raise ModelUnreadable(str(error)) from None
    return model.eval().requires_grad_(False)


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

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: Config,
        form: Format | None,
        dtype: torch.dtype,
        device: torch.device,
        kernel: str,
    ) -> None:
        with torch.device("meta"):
            self.model = Qwen2VL(config)
        self.checkpoint, self.config, self.kernel = checkpoint, config, kernel
        self.form = form
        self.dtype, self.device = dtype, device
        self.expected = {name: tuple(tensor.shape) for name, tensor in self.model.named_parameters()}
        self.missing = set(self.expected)
        self.kernels: Counter[tuple[str, str]] = Counter()  # name, and why it is that one

    def run(self) -> Qwen2VL:
        for layer, names in _by_layer(self.checkpoint.files).items():
            if self.form is not None and names.keys() & self.form.suffixes:
                self._place_quantized(layer, names, self.form)
            else:
                self._place_plain(layer, names)
        self._tie_head()
        if self.missing:
            raise ModelUnreadable(
                f"{self.checkpoint.folder} lacks {len(self.missing)} of {len(self.expected)} tensors, "
                f"first {min(self.missing)!r}. The folder is incomplete or holds another model."
            )
        for (name, reason), count in self.kernels.items():
            log.info("%d quantized layers are multiplied by the kernel %r. %s", count, name, reason)
        return self.model

    def _place_plain(self, layer: str, names: Mapping[str, str]) -> None:
        for leaf, stored in names.items():
            name = our_name(stored)
            if name == f"{HEAD}.weight" and self.config.tie_word_embeddings:
                continue  # some writers store the tied head a second time
            tensor = self.checkpoint.tensor(stored)
            self._check(name, tensor)
            self.missing.discard(name)
            setattr(self.model.get_submodule(layer), leaf, nn.Parameter(self._copied(tensor), requires_grad=False))

    def _check(self, name: str, tensor: Tensor) -> None:
        folder = self.checkpoint.folder
        if name not in self.expected:
            raise ModelUnreadable(f"{folder} holds a tensor {name!r} that a Qwen2-VL of its config does not have.")
        if tuple(tensor.shape) != self.expected[name]:
            raise ModelUnreadable(
                f"{folder}: tensor {name!r} has shape {tuple(tensor.shape)}, its config asks for {self.expected[name]}."
            )

    def _place_quantized(self, layer: str, names: Mapping[str, str], form: Format) -> None:
        shape = self._shape(layer)
        for leaf in names.keys() - form.suffixes - {"bias"}:
            raise self._unreadable(layer, names, f"holds {leaf!r} beside its quantized tensors")
        kernel = self._prepare(self._codes(layer, names, form, shape))
        self.missing.discard(f"{layer}.weight")
        if layer == EMBEDDING:
            self._put(layer, QuantEmbedding(kernel))
        else:
            self._put(layer, QuantLinear(kernel, self._bias(layer, names)))

    def _shape(self, layer: str) -> tuple[int, int]:
        """Of the matrix whose place a quantized layer takes. A head may be quantized by itself though it is tied."""
        plain = EMBEDDING if layer == HEAD and self.config.tie_word_embeddings else layer
        match self.expected.get(f"{plain}.weight"):
            case (n, k):
                return n, k
        raise ModelUnreadable(
            f"{self.checkpoint.folder} holds quantized tensors of {layer!r}, which is no matrix of a Qwen2-VL of its "
            "config."
        )

    def _codes(self, layer: str, names: Mapping[str, str], form: Format, shape: tuple[int, int]) -> Codes:
        found = {leaf: self.checkpoint.tensor(stored) for leaf, stored in names.items() if leaf != "bias"}
        tensors = {leaf: tensor.to(device=self.device, copy=True) for leaf, tensor in found.items()}
        try:
            return form.unpack(tensors, shape, original_name(layer))
        except QuantizeError as error:
            raise ModelUnreadable(f"{self._file(names)}: {error}") from None

    def _prepare(self, codes: Codes) -> Kernel:
        choice = choose(self.kernel, codes.variant, codes.shape, self.dtype, self.device)
        self.kernels[choice.name, choice.reason] += 1
        return choice.maker.prepare(codes, self.dtype)

    def _bias(self, layer: str, names: Mapping[str, str]) -> Tensor | None:
        """A layer's bias, where the architecture has one. Some writers gave every quantized layer one, of zeros."""
        name = f"{layer}.bias"
        found = self.checkpoint.tensor(names["bias"]) if "bias" in names else None
        if name not in self.expected:
            if found is not None and bool((found != 0).any()):
                raise self._unreadable(layer, names, "holds a bias, which it does not have in a Qwen2-VL")
            return None
        if found is None:
            raise self._unreadable(layer, names, "lacks its bias")
        self._check(name, found)
        self.missing.discard(name)
        return self._copied(found)

    def _tie_head(self) -> None:
        embedding = self.model.language.embed_tokens
        if self.model.lm_head is None and isinstance(embedding, QuantEmbedding):
            self.model.lm_head = QuantLinear(embedding.kernel)

    def _copied(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.device, dtype=self.dtype, copy=True)

    def _put(self, layer: str, module: nn.Module) -> None:
        owner, _, leaf = layer.rpartition(".")
        setattr(self.model.get_submodule(owner), leaf, module)

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
