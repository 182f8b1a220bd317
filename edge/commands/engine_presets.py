"""Which preset and format an engine loads: `edge quantize --for`. `quantize/FORMAT.md` has the lines that load them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import OptionRefused
from quantize.methods import find_method, traits_of


@dataclass(frozen=True, slots=True)
class EnginePreset:
    preset: str
    format: str
    is_uniform: (
        bool  # the engine, or the way we know into it, wants all quantized layers alike, with zeros in the middle
    )


ENGINE_PRESETS = {
    "edge": EnginePreset("edge", "gptq", is_uniform=False),
    "transformers": EnginePreset("official", "gptq", is_uniform=True),
    "vllm": EnginePreset("official", "gptq", is_uniform=True),
}
DEFAULT = ENGINE_PRESETS["edge"]


def choose_preset(
    engine: str | None, preset: str | None, format: str | None, method: str, rules: Sequence[str]
) -> dict[str, Any]:
    """`preset` and `formats` of the QuantizeOptions: what was asked for, else what the engine loads.

    Raises OptionRefused for an engine that is not known, and for options that it would not load; BadPlan.
    """
    if engine is None:
        return _options(preset or DEFAULT.preset, format or DEFAULT.format)
    if engine not in ENGINE_PRESETS:
        raise OptionRefused(f"--for {engine}: there are {', '.join(ENGINE_PRESETS)}.")
    wanted = ENGINE_PRESETS[engine]
    for option, asked, loads in (("--preset", preset, wanted.preset), ("--format", format, wanted.format)):
        if asked is not None and asked != loads:
            raise OptionRefused(f"--for {engine} takes {option} {loads}, not {asked}. Leave one of the two out.")
    if wanted.is_uniform and rules:
        raise OptionRefused(f"--for {engine} takes layers that are all stored alike: leave --layer out.")
    if wanted.is_uniform and traits_of(find_method(method)).chooses_zeros:
        raise OptionRefused(
            f"--for {engine} takes symmetric numbers, and {method} chooses its zeros: take gptq or rtn."
        )
    return _options(wanted.preset, wanted.format)


def _options(preset: str, format: str) -> dict[str, Any]:
    return {"preset": preset, "formats": tuple(name.strip() for name in format.split(","))}
