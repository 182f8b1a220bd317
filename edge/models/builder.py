"""A model that begins without memory, and whose layers take their places one by one.

It is built on the meta device, so memory never holds weights twice. Knows no files: layers come from a checkpoint
or from nowhere, plain or quantized.
"""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor, nn

from edge.kernels import choose
from edge.models.quantized import QuantEmbedding, QuantLinear
from edge.models.qwen2_vl.config import Config
from edge.models.qwen2_vl.model import Qwen2VL
from quantize.layer_names import EMBEDDING, HEAD
from quantize.quantized_weight import QuantizedWeight

log = logging.getLogger(__name__)


class ModelBuilder:
    """Quantized layers will multiply with `kernel`, a name in `edge.kernels.KERNELS` or "auto"."""

    def __init__(self, config: Config, dtype: torch.dtype, device: torch.device, kernel: str = "auto") -> None:
        with torch.device("meta"):
            self.model = Qwen2VL(config)
        self.tied = config.tie_word_embeddings
        self.dtype, self.device, self.kernel = dtype, device, kernel
        self.expected = {name: tuple(tensor.shape) for name, tensor in self.model.named_parameters()}
        self.missing = set(self.expected)
        self._kernels: Counter[tuple[str, str]] = Counter()  # name, and why it is that one

    def matrix(self, layer: str) -> tuple[int, int] | None:
        """The shape of the matrix whose place a quantized layer would take; None for what is no matrix. A head may be
        quantized by itself though it is tied."""
        plain = EMBEDDING if layer == HEAD and self.tied else layer
        match self.expected.get(f"{plain}.weight"):
            case (n, k):
                return n, k
        return None

    def plain(self, name: str, tensor: Tensor) -> None:
        """A tensor of the expected shape, copied to the device in the type that is computed with."""
        layer, _, leaf = name.rpartition(".")
        self.missing.discard(name)
        setattr(self.model.get_submodule(layer), leaf, nn.Parameter(self._copied(tensor), requires_grad=False))

    def quantized(self, layer: str, codes: QuantizedWeight, bias: Tensor | None = None) -> None:
        """QuantizedWeight on the device they will be used on."""
        choice = choose(self.kernel, codes.variant, codes.shape, self.dtype, self.device)
        self._kernels[choice.name, choice.reason] += 1
        kernel = choice.maker.prepare(codes, self.dtype)
        self.missing -= {f"{layer}.weight", f"{layer}.bias"}
        module = QuantEmbedding(kernel) if layer == EMBEDDING else QuantLinear(kernel, self._bias(bias))
        owner, _, leaf = layer.rpartition(".")
        setattr(self.model.get_submodule(owner), leaf, module)

    def finish(self) -> Qwen2VL:
        """The model, ready to run; nothing may be missing any more."""
        assert not self.missing, min(self.missing)
        embedding = self.model.model.embed_tokens
        if self.model.lm_head is None and isinstance(embedding, QuantEmbedding):
            self.model.lm_head = QuantLinear(embedding.kernel)
        for (name, reason), count in self._kernels.items():
            log.info("%d quantized layers are multiplied by the kernel %r. %s", count, name, reason)
        return self.model.eval().requires_grad_(False)

    def _bias(self, bias: Tensor | None) -> Tensor | None:
        return None if bias is None else self._copied(bias)

    def _copied(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.device, dtype=self.dtype, copy=True)
