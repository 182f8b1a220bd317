"""Patterns and lists that name layers in a configuration, so that every engine finds them under its own names.

The official checkpoints say `visual.blocks.0...` and `model.layers.0...`, transformers 5 says
`model.visual.blocks.0...` and `model.language_model.layers.0...`, vLLM `language_model.model.layers.0...`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from quantize.layer_names import HEAD, TOWER, is_vision, official_name, spellings

T = TypeVar("T")


def kept_modules(layers: Iterable[str], kept: Iterable[str]) -> list[str]:
    """What an engine must leave alone: the layers kept, the vision tower in one word when none of it is quantized,
    and the head, which a checkpoint that ties it to the embedding does not list."""
    quantized = {official_name(name) for name in layers}
    left = [official_name(name) for name in kept]
    if not any(is_vision(name) for name in quantized):
        left = [TOWER, *(name for name in left if not is_vision(name))]
    if HEAD not in quantized and HEAD not in left:
        left.append(HEAD)
    return left


def patterns(settings: Mapping[str, T]) -> dict[str, T]:
    """Regular expressions, for `re.match`, that give each module its settings under every engine's names.

    Layers of all blocks share one pattern when all of them are treated alike; otherwise each has its own.
    """
    kinds: defaultdict[str, dict[str, T]] = defaultdict(dict)
    for name, setting in settings.items():
        kinds[_pattern(name, any_number=True)][name] = setting
    found: dict[str, T] = {}
    for pattern, members in kinds.items():
        first, *others = members.values()
        if all(other == first for other in others):
            found[pattern] = first
        else:
            found |= {_pattern(name, any_number=False): setting for name, setting in members.items()}
    return found


def by_setting(found: Mapping[str, T]) -> dict[T, list[str]]:
    """The patterns of each setting, in order."""
    sorted_out: defaultdict[T, list[str]] = defaultdict(list)
    for pattern, setting in found.items():
        sorted_out[setting].append(pattern)
    return dict(sorted_out)


def skip_list(modules: Sequence[str]) -> list[str]:
    """Every spelling of every module."""
    return [spelling for module in modules for spelling in spellings(module)]


def _pattern(name: str, *, any_number: bool) -> str:
    """The module and all that is in it, under whatever prefix."""
    escaped = re.escape(official_name(name).removeprefix("model."))
    if any_number:
        escaped = re.sub(r"(?<=\\\.)\d+(?=\\\.|$)", r"\\d+", escaped)
    return rf".*\b{escaped}(\.|$)"
