"""A model that begins without memory, and whose layers take their places one by one.

It is built on the meta device, so memory never holds weights twice. Knows no files and no family: layers come from a
checkpoint or from nowhere, plain or quantized.
"""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor, nn

from edge.kernels import choose
from edge.models.architecture import Config, Network, empty_network
from edge.models.fusing import QuantizedLayer, WaitingRoom, fuse_plain, put
from edge.models.quantized import QuantEmbedding, QuantLinear
from quantize.layer_names import EMBEDDING, HEAD
from quantize.quantized_weight import QuantizedWeight

log = logging.getLogger(__name__)


class ModelBuilder:
    """
    Args:
        kernel: that quantized layers will multiply with, a name in `edge.kernels.KERNELS` or "auto".
        fuse: whether projections of one input become one; who wants to train or save wants them apart.
    """

    def __init__(
        self,
        config: Config,
        dtype: torch.dtype,
        device: torch.device,
        kernel: str = "auto",
        *,
        fuse: bool = True,
    ) -> None:
        self.network = empty_network(config)
        self.tied = config.tie_word_embeddings
        self.dtype, self.device, self.kernel = dtype, device, kernel
        self.expected = {name: tuple(tensor.shape) for name, tensor in self.network.named_parameters()}
        self.missing = set(self.expected)
        self._fused = self.network.fused if fuse else {}
        self._waiting = WaitingRoom(self._fused)
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
        setattr(self.network.get_submodule(layer), leaf, nn.Parameter(self._copied(tensor), requires_grad=False))

    def quantized(self, layer: str, weight: QuantizedWeight, bias: Tensor | None = None) -> None:
        """A matrix on the device it will be used on."""
        self.missing -= {f"{layer}.weight", f"{layer}.bias"}
        for name, ready in self._waiting.add(layer, QuantizedLayer(weight, self._bias(bias))).items():
            self._place(name, ready)

    def finish(self) -> Network:
        """The model, ready to run; nothing may be missing any more."""
        assert not self.missing, min(self.missing)
        for name, layer in self._waiting.rest().items():
            self._place(name, layer)
        fuse_plain(self.network, self._fused)
        embedding = self.network.get_submodule(EMBEDDING)
        if self.network.lm_head is None and isinstance(embedding, QuantEmbedding):
            self.network.lm_head = QuantLinear(embedding.kernel)
        for (name, reason), count in self._kernels.items():
            log.info("%d quantized layers are multiplied by the kernel %r. %s", count, name, reason)
        return self.network.eval().requires_grad_(False)

    def _place(self, name: str, layer: QuantizedLayer) -> None:
        choice = choose(self.kernel, layer.weight.variant, layer.weight.shape, self.dtype, self.device)
        self._kernels[choice.name, choice.reason] += 1
        kernel = choice.maker.prepare(layer.weight, self.dtype)
        module = QuantEmbedding(kernel) if name == EMBEDDING else QuantLinear(kernel, layer.bias)
        owner, _, leaf = name.rpartition(".")
        put(self.network.get_submodule(owner), leaf, self._fused.get(leaf, ()), module)

    def _bias(self, bias: Tensor | None) -> Tensor | None:
        return None if bias is None else self._copied(bias)

    def _copied(self, tensor: Tensor) -> Tensor:
        return tensor.to(device=self.device, dtype=self.dtype, copy=True)
