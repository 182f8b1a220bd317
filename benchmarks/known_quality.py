"""What weights of a kind lose: the figures that stand beside those of speed, because a fast variant that cannot see is
not a result.

They come from benchmarks/results/quality-variants.json, which `python -m benchmarks.quality` measures on pocket. Other
engines choose their numbers by rules of their own; of them it says what their grid loses with numbers rounded to
nearest by our own hands. Needs nothing but Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SOURCE = ("float32", "bfloat16", "float16")
FIGURES = ("kl_mean", "top1", "object_f1_loss", "mean_iou_loss")

Quality = Mapping[str, Any]


def known_quality(variant: str, method: str = "rtn", results: Path = RESULTS) -> Quality:
    """Of weights stored as "int4-g128+int8-channel", by a method; or a reason why there are no figures."""
    if variant in SOURCE:
        return {"of": "the source"}
    path = results / "quality-variants.json"
    rows = json.loads(path.read_text())["variants"] if path.exists() else []
    for row in rows:
        if (row["variant"], row["method"]) == (variant, method):
            return {"of": f"{variant}, {method}, on pocket", **{name: row["figures"][name] for name in FIGURES}}
    return {"of": f"{variant}, {method}: not measured"}


def brief(quality: Quality) -> str:
    """For a column of a terminal."""
    return f"KL {quality['kl_mean']:.4f}" if "kl_mean" in quality else str(quality["of"])


def said(quality: Quality) -> str:
    """
    >>> said({"of": "the source"})
    'the source'
    """
    if "kl_mean" not in quality:
        return str(quality["of"])
    return (
        f"KL {quality['kl_mean']:.4f}, top-1 {quality['top1']:.1%}, F1 loss {quality['object_f1_loss']:.3f}, "
        f"IoU loss {quality['mean_iou_loss']:.3f}"
    )
