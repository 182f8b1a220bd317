"""AWQ files in the layout called GEMM, as Qwen's own AWQ checkpoints have them; four bits only.

    qweight  int32    (k, n / 8)        words run along n
    qzeros   int32    (groups, n / 8)   likewise, zeros as they are
    scales   float16  (groups, n)

A word does not hold its eight numbers as they come: place i has number ORDER[i].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantize.checkpoint import Stored
from quantize.errors import DoesNotDivide, FormatUnknown
from quantize.formats.layer_tensors import LayerTensors
from quantize.formats.names import kept_modules, skip_list
from quantize.formats.packing import num_words, pack, unpack
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

NUM_BITS = 4
PER_WORD = 32 // NUM_BITS
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


class Awq:
    suffixes = frozenset({"qweight", "qzeros", "scales"})

    @classmethod
    def for_variants(cls, variants: Iterable[Variant]) -> Awq:
        _group_size(variants)
        return cls()

    def refusal(self, variant: Variant) -> str | None:
        return None if variant.bits == NUM_BITS else "AWQ files hold 4-bit numbers only."

    def stored(self, variant: Variant, n: int, k: int, groups: int) -> dict[str, Stored]:
        _check_words(n, k)
        return {
            "qweight": Stored(torch.int32, (k, num_words(n, NUM_BITS))),
            "qzeros": Stored(torch.int32, (groups, num_words(n, NUM_BITS))),
            "scales": Stored(torch.float16, (groups, n)),
        }

    def pack(self, quantized: QuantizedWeight) -> dict[str, Tensor]:
        n, k = quantized.shape
        if reason := self.refusal(quantized.variant):
            raise FormatUnknown(f"{quantized.variant}: {reason}")
        _check_words(n, k)
        return {
            "qweight": pack(quantized.values.T, NUM_BITS, ORDER),
            "qzeros": pack(quantized.zeros.T, NUM_BITS, ORDER),
            "scales": quantized.scales.T.contiguous(),
        }

    def unpack(self, tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str) -> QuantizedWeight:
        n, k = shape
        layer = LayerTensors(name, shape, tensors)
        qweight = layer.take("qweight", (torch.int32,), (k, num_words(n, NUM_BITS)))
        scales = layer.scales("scales", (None, n))
        qzeros = layer.take("qzeros", (torch.int32,), (len(scales), num_words(n, NUM_BITS)))
        values, zeros = (unpack(words, NUM_BITS, n, ORDER).T.contiguous() for words in (qweight, qzeros))
        return layer.quantized_weight(NUM_BITS, values, scales.T.contiguous(), zeros)

    def config(self, layers: Mapping[str, Variant], kept: Sequence[str]) -> dict[str, Any]:
        return {
            "quant_method": "awq",
            "version": "gemm",
            "bits": NUM_BITS,
            "group_size": _group_size(layers.values()),
            "zero_point": True,
            "modules_to_not_convert": skip_list(kept_modules(layers, kept)),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Awq:
        version, bits = str(config.get("version") or "gemm").lower(), config.get("bits", config.get("w_bit"))
        if version != "gemm" or bits != NUM_BITS:
            raise FormatUnknown(f"AWQ version {version!r} with {bits!r} bits; this version reads gemm with 4.")
        return cls()


def _check_words(n: int, k: int) -> None:
    if n % PER_WORD:
        raise DoesNotDivide(
            f"A matrix of {n} by {k} does not fill whole words of {PER_WORD} outputs, as AWQ files need. "
            "Keep this layer as it is, or choose compressed-tensors."
        )


def _group_size(variants: Iterable[Variant]) -> int:
    """The one group size that an AWQ configuration has room for."""
    groups = {variant.group or -1 for variant in variants}
    if len(groups) != 1:
        raise FormatUnknown(
            f"An AWQ model has one group size for all layers; these have {sorted(groups)} (-1: whole channel). "
            "Choose one, or the format gptq or compressed-tensors."
        )
    return groups.pop()
