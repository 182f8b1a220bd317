"""How a Qwen2-VL hangs together, as far as quantization must know: blocks, and which layers share an input.

Names are those of the official checkpoints (`visual.*`, `model.*`, `lm_head`), whatever spelling a file has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feed:
    """Linear layers of a block that read the same input, and what it is that makes this input."""

    layers: tuple[str, ...]
    norm: str | None = None  # a norm whose output they read as it is, and nobody else
    linear: str | None = None  # a linear layer each of whose outputs reaches them times something else


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that run together; calibration holds one block's weights at a time."""

    name: str
    feeds: tuple[Feed, ...]

    def layer_names(self) -> list[str]:
        return [f"{self.name}.{layer}" for feed in self.feeds for layer in feed.layers]


VISION = (
    Feed(("attn.qkv",), norm="norm1"),
    Feed(("attn.proj",)),
    Feed(("mlp.fc1",), norm="norm2"),
    Feed(("mlp.fc2",)),
)
MERGER = (Feed(("mlp.0",)), Feed(("mlp.2",)))  # its norm serves four patches at once
LANGUAGE = (
    Feed(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), norm="input_layernorm"),
    Feed(("self_attn.o_proj",)),  # several heads read the same values: nothing folds into v_proj
    Feed(("mlp.gate_proj", "mlp.up_proj"), norm="post_attention_layernorm"),
    Feed(("mlp.down_proj",), linear="mlp.up_proj"),
)


def blocks(names: Iterable[str]) -> list[Block]:
    """The blocks of a checkpoint that holds `names` (official spelling), in the order data passes them."""
    found = set(names)

    def numbered(prefix: str) -> list[str]:
        numbers = {int(match[1]) for name in found if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))}
        return [f"{prefix}.{number}" for number in sorted(numbers)]

    vision = [Block(name, VISION) for name in numbered("visual.blocks")]
    language = [Block(name, LANGUAGE) for name in numbered("model.layers")]
    return [*vision, Block("visual.merger", MERGER), *language]
