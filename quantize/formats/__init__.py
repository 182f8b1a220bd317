"""File formats of quantized weights: how the numbers of a layer are packed into tensors, and what config.json says.

A format is one file and one line here, by the name that `quant_method` of config.json has. FORMAT.md describes all of
them. A format knows neither how numbers were chosen nor how they are multiplied, and opens no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from quantize.checkpoint import Stored
from quantize.errors import FormatUnknown
from quantize.quantized_weight import QuantizedWeight
from quantize.registry import resolve
from quantize.variant import Variant

FORMATS = {
    "gptq": "quantize.formats.gptq:Gptq",
    "awq": "quantize.formats.awq:Awq",
    "compressed-tensors": "quantize.formats.compressed_tensors:CompressedTensors",
}


class Format(Protocol):
    suffixes: frozenset[str]
    """Tensors named "<layer>.<suffix>" belong to a quantized layer."""

    @classmethod
    def for_variants(cls, variants: Iterable[Variant]) -> Format:
        """The format, in the version that holds all these variants. Raises FormatUnknown when none does."""
        ...

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Format:
        """The inverse of `config`. Raises FormatUnknown."""
        ...

    def refusal(self, variant: Variant) -> str | None:
        """Why this format cannot hold the variant, or None."""
        ...

    def stored(self, variant: Variant, n: int, k: int, groups: int) -> dict[str, Stored]:
        """Types and shapes of what `pack` will give for an (n, k) matrix; ask `layout` for it. Raises DoesNotDivide."""
        ...

    def pack(self, quantized: QuantizedWeight) -> dict[str, Tensor]:
        """Suffix -> tensor, contiguous. Raises FormatUnknown for a variant it refuses, and DoesNotDivide."""
        ...

    def unpack(self, tensors: Mapping[str, Tensor], shape: tuple[int, int], name: str) -> QuantizedWeight:
        """The inverse of `pack`; bits and group size are read off the shapes. Raises ArtifactDamaged, FormatUnknown."""
        ...

    def config(self, layers: Mapping[str, Variant], kept: Sequence[str]) -> dict[str, Any]:
        """The `quantization_config` of config.json: the quantized layers, and the linear layers left as they are."""
        ...


def writer(name: str, layers: Mapping[str, Variant]) -> Format:
    """The format of that name (or import path), ready to hold these layers. Raises FormatUnknown naming the layer."""
    kind: type[Format] = resolve(name, FORMATS, "format", FormatUnknown)
    form = kind.for_variants(layers.values())
    for layer, variant in layers.items():
        if reason := form.refusal(variant):
            raise FormatUnknown(f"{name} cannot hold {layer} as {variant}: {reason}")
    return form


def reader(config: Mapping[str, Any]) -> Format:
    """The format that a folder's `quantization_config` describes. Raises FormatUnknown naming what was found."""
    method = config.get("quant_method")
    if method not in FORMATS:  # never an import path: the file is somebody else's
        raise FormatUnknown(f"quant_method is {method!r}; this version reads {', '.join(FORMATS)}.")
    kind: type[Format] = resolve(method, FORMATS, "format", FormatUnknown)
    return kind.from_config(config)


def layout(form: Format, variant: Variant, shape: tuple[int, int]) -> dict[str, Stored]:
    """Types and shapes of what `pack` will give for a layer of shape (n, k). Raises DoesNotDivide."""
    n, k = shape
    return form.stored(variant, n, k, variant.num_groups(k))
