"""What the rest of the project may ask of a family of models: how its prompts lie, and how large pictures may be.

A family is a folder beside this file and one line in `FAMILIES`. Nothing outside that folder knows its constants,
except what quantizes: edge/calibration and quantize know the blocks and layers of Qwen2-VL alone.
Imports no torch: prompts, positions and windows must work over runners that have none.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import WrongArchitecture
from edge.media.limits import Limits
from edge.media.visual import VisualKind

FAMILIES = {
    "qwen2_vl": "edge.models.qwen2_vl:QWEN2_VL",
}
"""`model_type` in config.json -> where its `Family` is."""

Tokens = NDArray[np.int64]
"""Token ids, shape (n,)."""

Positions = NDArray[np.int64]
"""M-RoPE position ids, shape (3, n): time, row, column."""


class PromptLayout(Protocol):
    """Which tokens stand where, and at which positions. A picture is a video of one group."""

    placeholders: Mapping[str, VisualKind]
    """Tokens that a rendered chat template holds in place of a picture's or a video's own."""

    region_markers: tuple[str, ...]
    """Special tokens that text may use to speak of regions of a picture."""

    def text_positions(self, start: int, num_tokens: int) -> Positions: ...

    def group_positions(self, start: int, index: int, rows: int, columns: int) -> Positions:
        """Of group `index`, tokens row by row, of a visual that starts at `start`."""
        ...

    def next_position(self, start: int, num_groups: int, rows: int, columns: int) -> int:
        """Of whatever follows a visual of so many groups that starts at `start`."""
        ...

    def text_before_group(self, seconds: float) -> str:
        """What is written before a video's group whose newest frame was taken at `seconds`, such as a timestamp. Where
        there is such a text, each group is a visual of its own; where it is empty, all groups of a video are one."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    name: str  # `model_type` in config.json
    title: str  # for people
    layout: PromptLayout
    limits: Limits  # of pictures, where a model's folder names none
    architecture_path: str  # "package.module:ATTRIBUTE" of its `Architecture`; needs torch


def find_family(model_type: object, origin: str) -> Family:
    """The family that a config.json names. Raises WrongArchitecture."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise WrongArchitecture(
            f"{origin} describes a {model_type!r} model; this engine runs {', '.join(map(repr, FAMILIES))} "
            "(Qwen2-VL 2B and 7B, and checkpoints made from them)."
        )
    family: Family = pkgutil.resolve_name(FAMILIES[model_type])
    return family


def family_of(content: Mapping[str, Any], origin: str = "config") -> Family:
    """Of the content of a config.json. Raises WrongArchitecture."""
    return find_family(content.get("model_type"), origin)
