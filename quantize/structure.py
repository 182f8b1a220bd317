"""The parts of a Qwen2-VL that quantization must know: its blocks, and which linear layers share an input.

A block is what a checkpoint repeats: one transformer layer of the vision tower, one of the language model; the merger
between the two counts as one. Calibration loads, watches and quantizes one block at a time.

Layers that share an input are, for example, q_proj, k_proj and v_proj: all three read what input_layernorm gives. It
matters twice. Calibration measures an input once for all its layers. And AWQ multiplies the columns of a matrix by
factors and divides the input by the same factors; the division must happen where the input is made, and reaches every
layer that reads it. So the factors are chosen for all of them together, and only where something makes the input that
can take up the division without changing anything else.

Names are those of the official checkpoints (`visual.*`, `model.*`, `lm_head`), whatever spelling a file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SharedInput:
    """Linear layers of a block that read one and the same tensor, by their names within the block.

    At most one of `norm` and `linear` is set: the module whose parameters can be divided instead of the tensor.
    With neither, the layers cannot be scaled.
    """

    layers: tuple[str, ...]
    norm: str | None = None  # a norm whose output is the tensor, and is read by nobody else
    linear: str | None = None  # a linear layer: the tensor is its output times something, channel by channel

    @property
    def producer(self) -> str | None:
        return self.norm or self.linear


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block: its name in the checkpoint, and its linear layers by the input that they share."""

    name: str
    inputs: tuple[SharedInput, ...]

    def layer_names(self) -> list[str]:
        return [f"{self.name}.{layer}" for shared in self.inputs for layer in shared.layers]


VISION_INPUTS = (
    SharedInput(("attn.qkv",), norm="norm1"),
    SharedInput(("attn.proj",)),
    SharedInput(("mlp.fc1",), norm="norm2"),
    SharedInput(("mlp.fc2",)),  # behind an activation function, which no division passes through
)
# The merger's norm sees one patch, its first layer four patches side by side: one norm weight would serve four columns.
MERGER_INPUTS = (SharedInput(("mlp.0",)), SharedInput(("mlp.2",)))
LANGUAGE_INPUTS = (
    SharedInput(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), norm="input_layernorm"),
    SharedInput(("self_attn.o_proj",)),  # one row of v_proj makes several of its channels: they cannot differ
    SharedInput(("mlp.gate_proj", "mlp.up_proj"), norm="post_attention_layernorm"),
    SharedInput(("mlp.down_proj",), linear="mlp.up_proj"),  # reads up_proj(x) * silu(gate_proj(x))
)


def find_blocks(names: Iterable[str]) -> list[BlockSpec]:
    """The blocks of a checkpoint that holds the tensors `names` (official spelling), in the order data passes them."""
    found = set(names)

    def numbered(prefix: str) -> list[str]:
        numbers = {int(match[1]) for name in found if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))}
        return [f"{prefix}.{number}" for number in sorted(numbers)]

    vision = [BlockSpec(name, VISION_INPUTS) for name in numbered("visual.blocks")]
    language = [BlockSpec(name, LANGUAGE_INPUTS) for name in numbered("model.layers")]
    return [*vision, BlockSpec("visual.merger", MERGER_INPUTS), *language]
