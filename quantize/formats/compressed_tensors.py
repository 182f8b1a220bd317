"""compressed-tensors files of the kind `pack-quantized`, as llm-compressor writes and vLLM reads them.

    weight_packed      int32    (n, words of k)        words run along k
    weight_scale       float16  (n, groups)
    weight_shape       int64    (2,)                   n and k
    weight_zero_point  int32    (words of n, groups)   words run along n; only when asymmetric

The format speaks of signed numbers and stores them plus half the range; that is the number we have anyway.
Rows that do not fill their last word are padded, which is why the shape is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantize.checkpoint import Stored
from quantize.errors import FormatUnknown
from quantize.formats.names import by_treatment, kept_modules, patterns
from quantize.formats.packing import num_words, pack, unpack
from quantize.formats.parts import Parts
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

KIND = "pack-quantized"


class CompressedTensors:
    suffixes = frozenset({"weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"})

    @classmethod
    def for_variants(cls, variants: Iterable[Variant]) -> CompressedTensors:
        return cls()

    def refusal(self, variant: Variant) -> str | None:
        return None

    def stored(self, variant: Variant, n: int, k: int, groups: int) -> dict[str, Stored]:
        found = {
            "weight_packed": Stored(torch.int32, (n, num_words(k, variant.bits))),
            "weight_scale": Stored(torch.float16, (n, groups)),
            "weight_shape": Stored(torch.int64, (2,)),
        }
        if not variant.symmetric:
            found["weight_zero_point"] = Stored(torch.int32, (num_words(n, variant.bits), groups))
        return found

    def pack(self, codes: QuantizedWeight) -> dict[str, Tensor]:
        bits = codes.variant.bits
        tensors = {
            "weight_packed": pack(codes.values, bits),
            "weight_scale": codes.scales.contiguous(),
            "weight_shape": torch.tensor(codes.shape),
        }
        if not codes.variant.symmetric:
            tensors["weight_zero_point"] = pack(codes.zeros.T, bits).T.contiguous()
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str) -> QuantizedWeight:
        n, k = shape
        parts = Parts(name, shape, tensors)
        stored = parts.take("weight_shape", (torch.int64, torch.int32), (2,))
        if stored.tolist() != [n, k]:
            raise parts.damaged(f"weight_shape says {stored.tolist()}")
        words = parts.take("weight_packed", (torch.int32,), (n, None))
        bits = parts.bits("weight_packed", words.shape[1], k)
        scales = parts.scales("weight_scale", (n, None))
        parts.check_order("weight_g_idx", scales.shape[1])
        return parts.codes(bits, unpack(words, bits, k), scales, _zeros(parts, bits, scales))

    def config(self, layers: Mapping[str, Variant], kept: Sequence[str]) -> dict[str, Any]:
        left = dict.fromkeys(kept_modules(layers, kept))
        found = by_treatment(patterns({**layers, **left}))
        ignored = found.pop(None, [])
        return {
            "quant_method": "compressed-tensors",
            "format": KIND,
            "quantization_status": "compressed",
            "config_groups": {
                f"group_{index}": _group(variant, targets) for index, (variant, targets) in enumerate(found.items())
            },
            "ignore": [f"re:{pattern}" for pattern in ignored],
            "kv_cache_scheme": None,
            "global_compression_ratio": None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CompressedTensors:
        if config.get("format") != KIND:
            raise FormatUnknown(f"compressed-tensors of the kind {config.get('format')!r}; this version reads {KIND}.")
        return cls()


def _zeros(parts: Parts, bits: int, scales: Tensor) -> Tensor:
    if "weight_zero_point" not in parts.tensors:
        return torch.full_like(scales, 1 << (bits - 1), dtype=torch.uint8)
    n, groups = scales.shape
    words = parts.take("weight_zero_point", (torch.int32,), (num_words(n, bits), groups))
    return unpack(words.T, bits, n).T.contiguous()


def _group(variant: Variant | None, targets: list[str]) -> dict[str, Any]:
    assert variant is not None
    return {
        "targets": [f"re:{pattern}" for pattern in targets],
        "weights": {
            "num_bits": variant.bits,
            "type": "int",
            "symmetric": variant.symmetric,
            "strategy": "channel" if variant.group is None else "group",
            "group_size": variant.group,
            "dynamic": False,
        },
        "input_activations": None,
        "output_activations": None,
        "format": KIND,
    }
