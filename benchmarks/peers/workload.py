"""The one question every engine is asked, and what one process of it found out.

Batch one: a picture of 448 x 448 random pixels, which becomes 256 visual tokens, and 32 tokens of text; 64 new tokens,
greedy, whatever they are. The text is the two markers around the picture and one word 30 times, so that engines that
want a string and engines that want ids are given the same. Imported in every engine's environment: standard
library and numpy only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 448  # pixels
VISUAL_TOKENS = 256
TEXT_TOKENS = 32
NEW_TOKENS = 64
WORD, WORD_ID = " the", 279  # one token of Qwen2's tokenizer
WORDS = TEXT_TOKENS - 2
SEED = 0

Picture = NDArray[np.uint8]


def describe() -> dict[str, Any]:
    return {
        "batch": 1, "picture": f"{SIDE}x{SIDE}", "visual_tokens": VISUAL_TOKENS, "text_tokens": TEXT_TOKENS,
        "new_tokens": NEW_TOKENS, "sampling": "greedy, no early stop", "seed": SEED,
    }  # fmt: skip


def picture(number: int) -> Picture:
    """The picture of that number, (448, 448, 3) RGB: no two alike, so that no cache can help."""
    rng = np.random.default_rng((SEED, number))
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def prompt_ids(config: Mapping[str, Any]) -> list[int]:
    """The prompt for a model with this config.json: marker, picture, marker, words."""
    start, end = config["vision_start_token_id"], config["vision_end_token_id"]
    return [start, *[config["image_token_id"]] * VISUAL_TOKENS, end, *[WORD_ID] * WORDS]


@dataclass(frozen=True, slots=True)
class Times:
    """One repetition, from raw pixels to the last token. An engine without eyes has no vision and no first token."""

    vision_ms: float | None  # raw pixels to embeddings
    prefill_ms: float  # the whole prompt through the language model, and the choice of the first token
    ttft_ms: float | None
    decode_tps: float  # of all tokens after the first


@dataclass(frozen=True, slots=True)
class Run:
    """What one process found out about its engine."""

    engine: str
    versions: dict[str, str]
    variant: str  # how the weights are stored
    note: str
    times: tuple[Times, ...]
    peak_rss_mib: float
    disk_mb: float  # of everything the engine reads
    peak_gpu_mib: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Run:
        """Raises ValueError for a line that is no run."""
        values = json.loads(line)
        try:
            return cls(**values | {"times": tuple(Times(**times) for times in values["times"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a run: {error}") from None
