"""A small report, written by hand: round figures in every section."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def report() -> dict[str, Any]:
    return make_report()


def make_report() -> dict[str, Any]:
    return {
        "kind": "profile",
        "schema": 2,
        "date": "2026-01-02 03:04:05",
        "machine": {"commit": "abc1234", "cpu": "A Processor", "cores": 4, "gpu": "none", "torch": "2.13.0"},
        "ceilings": {"read": 12e9, "copy": 14e9, "bf16": 9e11, "fp32": 1.6e11, "int8": None},
        "model": {
            "name": "pocket", "variant": "int4-g64", "device": "cpu", "dtype": "bfloat16", "load_seconds": 2.0,
        },
        "workload": {"window": 8, "fps": 2.0, "max_pixels": 200704, "question_tokens": 32, "clip": "drawn scene"},
        "energy": {"not_measured": "nothing tells"},
        "size": [112, 168],
        "stages": [
            stage("decode", 0.004, n=100),
            stage("capture to event", 0.65),
            stage("vision tower", 0.2, floor=0.1, bound_by="arithmetic"),
            stage("prefix", 0.02, n=1, floor=0.01, bound_by="memory"),
            stage("token", 0.01, n=400, floor=0.008, bound_by="memory"),
        ],
        "decode": [
            {"context": 100, "tokens_per_second": 110.0},
            {"context": 200, "tokens_per_second": 100.0},
            {"context": 300, "tokens_per_second": 90.0},
        ],
        "live": {
            "seconds": 4.0, "answers": 8, "age_p50": 0.7, "age_p99": 0.9, "groups": 8, "sampled": 16,
            "dropped": {"overrun": 4},
        },
        "memory": {
            "predicted": {"weights": 30e6, "kv": 3e6, "activations": 2e6, "overhead": 400e6, "total": 435e6},
            "measured": {"overhead": 400e6, "weights": 31e6, "kv_and_activations": 9e6, "total": 440e6},
            "timeline": [[0.0, 400e6], [2.0, 431e6], [6.0, 440e6], [10.0, 440e6]],
        },
    }  # fmt: skip


def stage(
    name: str, p50: float, n: int = 8, spread: float = 1.2, floor: float | None = None, bound_by: str = ""
) -> dict[str, Any]:
    row = {"name": name, "n": n, "p50": p50, "p90": spread * p50, "p99": 1.5 * spread * p50, "total": n * p50}
    if floor is None:
        return row
    rates = {"operations_per_second": 2e9, "bytes_per_second": 5e9}
    return {**row, **rates, "floor": floor, "bound_by": bound_by, "share_of_ceiling": floor / p50}
