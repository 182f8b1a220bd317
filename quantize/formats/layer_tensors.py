"""The stored tensors of one quantized layer, checked as they are taken: what the readers of all formats share.

Knows types and shapes, and how to say what is wrong with them; not what the tensors hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quantize.errors import ArtifactDamaged, BadVariant, FormatUnknown
from quantize.formats.packing import num_words
from quantize.quantized_weight import QuantizedWeight
from quantize.variant import BITS, Variant


@dataclass(frozen=True, slots=True, eq=False)
class LayerTensors:
    name: str  # of the layer, for messages
    shape: tuple[int, int]  # (n, k) of the weight
    tensors: Mapping[str, Tensor]  # by suffix

    def take(self, suffix: str, dtypes: tuple[torch.dtype, ...], shape: tuple[int | None, ...]) -> Tensor:
        """One tensor; None in `shape` stands for any length. Raises ArtifactDamaged."""
        tensor = self.tensors.get(suffix)
        if tensor is None:
            raise self.damaged(f"{suffix} is missing")
        fits = len(tensor.shape) == len(shape) and all(
            wanted in (None, found) for wanted, found in zip(shape, tensor.shape, strict=True)
        )
        if tensor.dtype not in dtypes or not fits:
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise self.damaged(f"{suffix} is {tensor.dtype} {tuple(tensor.shape)}, not {dtypes[0]} ({wanted})")
        return tensor

    def bits(self, suffix: str, words: int, width: int) -> int:
        """How many bits a number has when `width` of them fill `words`. Raises ArtifactDamaged."""
        found = [bits for bits in BITS if num_words(width, bits) == words]
        if len(found) != 1:
            raise self.damaged(
                f"{suffix} holds {width} numbers in {words} words, {words * 32 / width:g} bits each; "
                "this version reads 4 and 8"
            )
        return found[0]

    def scales(self, suffix: str, shape: tuple[int | None, int | None]) -> Tensor:
        """Scales as float16. Writers that keep the model's own dtype are read when nothing is lost."""
        found = self.take(suffix, (torch.float16, torch.bfloat16, torch.float32), shape)
        if not torch.isfinite(found).all():
            raise self.damaged(f"{suffix} holds numbers that are not finite")
        scales = found.half()
        if not torch.equal(scales.to(found.dtype), found):
            raise FormatUnknown(
                f"{self.name}: {suffix} is {found.dtype} with numbers that float16 cannot hold, "
                "and this version computes with float16 scales. Write it again with float16 scales."
            )
        return scales

    def group(self, groups: int) -> int:
        """How many inputs each of so many groups has. Raises ArtifactDamaged."""
        width = self.shape[1]
        if groups == 0 or width % groups:
            raise self.damaged(f"{groups} groups do not divide its {width} inputs")
        return width // groups

    def check_order(self, suffix: str, groups: int) -> None:
        """Where the file says which group each input is in, it must be the plain order. Raises FormatUnknown.

        A tensor that is empty or all -1 says nothing: writers that always have one leave it so.
        """
        if suffix not in self.tensors or self.tensors[suffix].numel() == 0:
            return
        width, group = self.shape[1], self.group(groups)
        found = self.take(suffix, (torch.int32, torch.int64), (width,))
        if bool((found == -1).all()):
            return
        if not torch.equal(found.cpu().long(), torch.arange(width) // group):
            raise FormatUnknown(
                f"{self.name}: {suffix} puts the inputs into groups out of their order (activation order), "
                "which this version does not read. Use a file made with desc_act false."
            )

    def quantized_weight(self, bits: int, values: Tensor, scales: Tensor, zeros: Tensor) -> QuantizedWeight:
        """The layer. Its group size is what the shapes say, one group of all inputs being the whole channel;
        it is symmetric when every zero is the middle, whatever the file calls it."""
        group = self.group(scales.shape[1])
        try:
            variant = Variant(bits, None if group == self.shape[1] else group)
        except BadVariant as error:
            raise FormatUnknown(f"{self.name} is stored in {error}") from None
        if not bool((zeros == variant.middle).all()):
            variant = Variant(bits, variant.group, symmetric=False)
        return QuantizedWeight(variant, values, scales, zeros)

    def damaged(self, what: str) -> ArtifactDamaged:
        n, k = self.shape
        return ArtifactDamaged(f"{self.name} ({n} by {k}): {what}. Fetch the files again, or export the model again.")
