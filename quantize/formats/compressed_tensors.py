"""compressed-tensors files in the compression format `pack-quantized`, as llm-compressor writes and vLLM reads them.

    weight_packed      int32    (n, words of k)        words run along k
    weight_scale       float16  (n, groups)
    weight_shape       int64    (2,)                   n and k
    weight_zero_point  int32    (words of n, groups)   words run along n; only when asymmetric

The library speaks of signed numbers and stores them plus half the range: the unsigned numbers of `QuantizedWeight`.
Rows that do not fill their last word are padded, which is why the shape is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantize.checkpoint import Stored
from quantize.errors import FormatUnknown
from quantize.formats.layer_tensors import LayerTensors
from quantize.formats.names import by_setting, kept_modules, patterns
from quantize.formats.packing import num_words, pack, unpack
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import Variant

COMPRESSION = "pack-quantized"


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

    def pack(self, quantized: QuantizedWeight) -> dict[str, Tensor]:
        bits = quantized.variant.bits
        tensors = {
            "weight_packed": pack(quantized.values, bits),
            "weight_scale": quantized.scales.contiguous(),
            "weight_shape": torch.tensor(quantized.shape),
        }
        if not quantized.variant.symmetric:
            tensors["weight_zero_point"] = pack(quantized.zeros.T, bits).T.contiguous()
        return tensors

    def unpack(self, tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str) -> QuantizedWeight:
        n, k = shape
        layer = LayerTensors(name, shape, tensors)
        stored = layer.take("weight_shape", (torch.int64, torch.int32), (2,))
        if stored.tolist() != [n, k]:
            raise layer.damaged(f"weight_shape says {stored.tolist()}")
        words = layer.take("weight_packed", (torch.int32,), (n, None))
        bits = layer.bits("weight_packed", words.shape[1], k)
        scales = layer.scales("weight_scale", (n, None))
        layer.check_order("weight_g_idx", scales.shape[1])
        return layer.quantized_weight(bits, unpack(words, bits, k), scales, _zeros(layer, bits, scales))

    def config(self, layers: Mapping[str, Variant], kept: Sequence[str]) -> dict[str, Any]:
        left = dict.fromkeys(kept_modules(layers, kept))
        found = by_setting(patterns({**layers, **left}))
        ignored = found.pop(None, [])
        return {
            "quant_method": "compressed-tensors",
            "format": COMPRESSION,
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
        if config.get("format") != COMPRESSION:
            raise FormatUnknown(
                f"compressed-tensors in the form {config.get('format')!r}; this version reads {COMPRESSION}."
            )
        return cls()


def _zeros(layer: LayerTensors, bits: int, scales: Tensor) -> Tensor:
    if "weight_zero_point" not in layer.tensors:
        return torch.full_like(scales, 1 << (bits - 1), dtype=torch.uint8)
    n, groups = scales.shape
    words = layer.take("weight_zero_point", (torch.int32,), (num_words(n, bits), groups))
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
        "format": COMPRESSION,
    }
