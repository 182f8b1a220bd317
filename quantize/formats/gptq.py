"""GPTQ files, as Qwen's own GPTQ-Int4 and GPTQ-Int8 checkpoints have them.

    qweight  int32    (k / per_word, n)        words run along k
    qzeros   int32    (groups, n / per_word)   words run along n; version 1 stores each zero less one
    scales   float16  (groups, n)
    g_idx    int32    (k,)                     the group of each input; here always in order

Version 1 is what everybody reads. It has no way to store a zero of 0, which asymmetric layers may have; version 2
stores zeros as they are. One file is all of one version, so the version is chosen for all layers at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quantize.checkpoint import Stored
from quantize.errors import DoesNotDivide, FormatUnknown
from quantize.formats.layer_tensors import LayerTensors
from quantize.formats.names import kept_modules, patterns
from quantize.formats.packing import num_words, pack, unpack
from quantize.layer_names import HEAD, official_name
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import BITS, Variant

CHECKPOINT_FORMATS = {1: "gptq", 2: "gptq_v2"}
ONE_EACH = {4: 0x11111111, 8: 0x01010101}  # a word that holds only ones


@dataclass(frozen=True, slots=True)
class Gptq:
    version: int = 1

    suffixes = frozenset({"qweight", "qzeros", "scales", "g_idx"})

    @classmethod
    def for_variants(cls, variants: Iterable[Variant]) -> Gptq:
        return cls(1 if all(variant.symmetric for variant in variants) else 2)

    def refusal(self, variant: Variant) -> str | None:
        if self.version == 1 and not variant.symmetric:
            return "version 1 of the format has no way to store a zero of 0. Write version 2."
        return None

    def stored(self, variant: Variant, n: int, k: int, groups: int) -> dict[str, Stored]:
        _check_words(variant.bits, n, k)
        return {
            "qweight": Stored(torch.int32, (num_words(k, variant.bits), n)),
            "qzeros": Stored(torch.int32, (groups, num_words(n, variant.bits))),
            "scales": Stored(torch.float16, (groups, n)),
            "g_idx": Stored(torch.int32, (k,)),
        }

    def pack(self, quantized: QuantizedWeight) -> dict[str, Tensor]:
        bits, (n, k), groups = quantized.variant.bits, quantized.shape, quantized.scales.shape[1]
        if reason := self.refusal(quantized.variant):
            raise FormatUnknown(f"{quantized.variant}: {reason}")
        _check_words(bits, n, k)
        shift = 1 if self.version == 1 else 0
        return {
            "qweight": pack(quantized.values, bits).T.contiguous(),
            "qzeros": pack((quantized.zeros - shift).T, bits),
            "scales": quantized.scales.T.contiguous(),
            "g_idx": torch.arange(k, dtype=torch.int32, device=quantized.values.device) // (k // groups),
        }

    def unpack(self, tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str) -> QuantizedWeight:
        n, k = shape
        layer = LayerTensors(name, shape, tensors)
        qweight = layer.take("qweight", (torch.int32,), (None, n))
        bits = layer.bits("qweight", len(qweight), k)
        scales = layer.scales("scales", (None, n))
        qzeros = layer.take("qzeros", (torch.int32,), (len(scales), num_words(n, bits)))
        layer.check_order("g_idx", len(scales))
        if self.version == 1:
            # Added to the whole word: what one number carries over, the writer borrowed from the next.
            qzeros = qzeros + ONE_EACH[bits]
        zeros = unpack(qzeros, bits, n)
        return layer.quantized_weight(bits, unpack(qweight.T, bits, k), scales.T.contiguous(), zeros.T.contiguous())

    def config(self, layers: Mapping[str, Variant], kept: Sequence[str]) -> dict[str, Any]:
        """Layers unlike the usual ones, and those left alone, are in `dynamic` as GPTQModel and vLLM read it."""
        usual = _usual(layers)
        left = dict.fromkeys(kept_modules(layers, kept))
        found = patterns({**layers, **left})
        return {
            "quant_method": "gptq",
            "checkpoint_format": CHECKPOINT_FORMATS[self.version],
            **_settings(usual),
            "desc_act": False,
            "static_groups": False,
            "true_sequential": True,
            "lm_head": HEAD in layers,
            "dynamic": {
                f"-:{pattern}" if variant is None else f"+:{pattern}": {} if variant is None else _settings(variant)
                for pattern, variant in found.items()
                if variant != usual
            },
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gptq:
        found = config.get("checkpoint_format") or config.get("format") or "gptq"  # older files do not say
        version = next((version for version, name in CHECKPOINT_FORMATS.items() if name == found), None)
        if version is None:
            raise FormatUnknown(f"checkpoint_format {found!r} of GPTQ; this version reads gptq and gptq_v2.")
        if config.get("bits") not in BITS:
            raise FormatUnknown(f"GPTQ with {config.get('bits')!r} bits; this version reads 4 and 8.")
        return cls(version)


def _check_words(bits: int, n: int, k: int) -> None:
    if n % (32 // bits) or k % (32 // bits):
        raise DoesNotDivide(
            f"A matrix of {n} by {k} does not fill whole words of {32 // bits} numbers, as GPTQ files need. "
            "Keep this layer as it is, or choose compressed-tensors."
        )


def _usual(layers: Mapping[str, Variant]) -> Variant:
    """What most of the language model's layers are; readers that know no exceptions take them all for that."""
    language = {name: variant for name, variant in layers.items() if official_name(name).startswith("model.layers.")}
    return Counter((language or layers).values()).most_common(1)[0][0]


def _settings(variant: Variant) -> dict[str, Any]:
    return {"bits": variant.bits, "group_size": variant.group or -1, "sym": variant.symmetric}
