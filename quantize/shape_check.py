"""Whether a variant's tensors have the names, types and shapes that its manifest and its model's config promise.

Compares the headers of files; no number is read and no model is built.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from quantize.checkpoint import Stored
from quantize.formats import Format, layout
from quantize.layer_names import EMBEDDING, HEAD, official_name
from quantize.variant import Variant

Shapes = Mapping[str, tuple[int, ...]]
"""The parameters of the model before it was quantized, by official name."""


def shape_problems(
    stored: Mapping[str, Stored], shapes: Shapes, layers: Mapping[str, Variant], form: Format
) -> list[str]:
    """What does not fit, one line each; nothing when all does.

    Args:
        stored: what the files hold.
        layers: the quantized layers.

    Raises DoesNotDivide for a layer whose shape cannot be stored as `layers` says.
    """
    found = {official_name(name): tensor for name, tensor in stored.items()}
    expected = _packed(shapes, layers, form) | _plain(shapes, layers, found)
    unknown = found.keys() - expected.keys()
    if f"{HEAD}.weight" not in shapes:
        unknown.discard(f"{HEAD}.weight")  # some writers store a tied head a second time
    return [
        *(f"tensor {name} is missing" for name in expected if name not in found),
        *(f"tensor {name} is none that this model has" for name in sorted(unknown)),
        *(
            f"tensor {name} is {_described(found[name])}, not {_described(wanted)}"
            for name, wanted in expected.items()
            if found.get(name, wanted) != wanted
        ),
    ]


def _packed(shapes: Shapes, layers: Mapping[str, Variant], form: Format) -> dict[str, Stored]:
    """The tensors of the quantized layers."""
    expected: dict[str, Stored] = {}
    for layer, variant in layers.items():
        tied = layer == HEAD and f"{HEAD}.weight" not in shapes  # but quantized by itself
        match shapes.get(f"{EMBEDDING if tied else layer}.weight"):
            case (n, k):
                expected |= {f"{layer}.{suffix}": part for suffix, part in layout(form, variant, (n, k)).items()}
    return expected


def _plain(shapes: Shapes, layers: Mapping[str, Variant], found: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors that stay as they were, of whatever floating type they are."""
    quantized = {f"{layer}.weight" for layer in layers}
    types = {name: tensor.dtype for name, tensor in found.items() if tensor.dtype.is_floating_point}
    kept = {name: shape for name, shape in shapes.items() if name not in quantized}
    return {name: Stored(types.get(name, torch.float32), shape) for name, shape in kept.items()}


def _described(tensor: Stored) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tensor.shape}"
