"""Which layers are quantized, and to which variant: decided from a layer's name and shape alone.

A plan is a list of rules; the first whose pattern matches the whole name decides. Layers that no rule matches, and
everything that is not the matrix of a linear layer or the embedding, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantize.errors import BadPlan
from quantize.layer_names import EMBEDDING, HEAD
from quantize.variant import Variant

LANGUAGE_LAYERS = r"model\.layers\.\d+\.\w+\.\w+_proj"
VISION_LAYERS = r"visual\.blocks\.\d+\.(attn|mlp)\.\w+|visual\.merger\.mlp\.\d"

# The head is read whole for every token and takes 41 % of the bytes per token in the official INT4 checkpoints.
# Eight bits of it cost nothing measurable; where it is tied, the embedding is the same stored matrix.
PRESETS = {
    "official": "the language model's linear layers, as Qwen's own checkpoints have it",
    "edge": "the language model's linear layers, the head and the vision tower in whole-channel INT8",
    "int8": "every linear layer and the head in INT8",
}
INT8 = Variant(8, None)


@dataclass(frozen=True, slots=True)
class Rule:
    pattern: str  # a regular expression for the whole of a layer's name
    variant: Variant | None  # None: leave it as it is

    def __str__(self) -> str:
        return f"{self.pattern}={self.variant or 'keep'}"


@dataclass(frozen=True, slots=True)
class Plan:
    preset: str
    rules: tuple[Rule, ...]

    def __call__(self, name: str, shape: Sequence[int]) -> Variant | None:
        """The variant for a layer (official name, (out, in)), or None. Raises DoesNotDivide naming the layer."""
        if len(shape) != 2:
            return None
        variant = next((rule.variant for rule in self.rules if re.fullmatch(rule.pattern, name)), None)
        if variant is not None:
            variant.num_groups(shape[1], name)
        return variant


def make_plan(preset: str, variant: Variant | None = None, *, tied: bool, overrides: Sequence[str] = ()) -> Plan:
    """A preset with `variant` for the language model's layers, and rules of the user's before it.

    Args:
        variant: int4-g128, or for the preset `int8` int8-channel, when not given.
        tied: whether the head is the embedding, so that the one stored matrix serves both.
        overrides: "pattern=variant" or "pattern=keep"; `visual.*=keep` leaves the vision tower alone.

    Raises BadPlan, BadVariant.
    """
    if preset not in PRESETS:
        raise BadPlan(f"{preset!r} is no preset; there are {', '.join(PRESETS)}.")
    variant = variant or (INT8 if preset == "int8" else Variant(4, 128))
    rules = [*map(_override, overrides), Rule(LANGUAGE_LAYERS, variant)]
    if preset != "official":
        rules += [Rule(re.escape(EMBEDDING if tied else HEAD), INT8), Rule(VISION_LAYERS, INT8)]
    return Plan(preset, tuple(rules))


def _override(text: str) -> Rule:
    pattern, found, wanted = text.rpartition("=")
    if not found or not pattern:
        raise BadPlan(f"{text!r} is no rule; write it like 'visual.*=keep' or 'lm_head=int8-channel'.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise BadPlan(f"{pattern!r} is no regular expression: {error}.") from None
    return Rule(pattern, None if wanted == "keep" else Variant.parse(wanted))
