"""A device in five numbers: how much it holds, how fast it reads, how fast it multiplies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
AMOUNT = re.compile(r"\s*(?P<number>\d+(\.\d*)?)\s*(?P<prefix>[KMGT]?)(?P<rest>[A-Za-z/ ]*)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    name: str
    kind: str  # "cpu" or "cuda"
    memory: float  # bytes
    bandwidth: float  # bytes per second
    bf16: float  # operations per second
    int8: float | None = None  # None: it gains nothing by them

    def rate(self, is_quantized: bool) -> float:
        """Of the fastest products that such weights can be multiplied with."""
        return max(self.bf16, self.int8 or 0) if is_quantized else self.bf16

    @classmethod
    def measured(cls, report: Mapping[str, Any], memory: float) -> Self:
        """The device of a profile, by the ceilings that were measured there."""
        ceilings, model = report["ceilings"], report["model"]
        bf16 = ceilings["fp32"] if model["dtype"] == "float32" else ceilings["bf16"] or ceilings["fp32"]
        name = report["machine"]["gpu" if model["device"].startswith("cuda") else "cpu"]
        return cls(name, model["device"].partition(":")[0], memory, ceilings["read"], bf16, ceilings["int8"])

    def changed(
        self, memory: float | None, bandwidth: float | None, tflops: float | None, int8_tops: float | None
    ) -> Self:
        """With what is known better."""
        return replace(
            self,
            memory=self.memory if memory is None else memory,
            bandwidth=self.bandwidth if bandwidth is None else bandwidth,
            bf16=self.bf16 if tflops is None else tflops,
            int8=self.int8 if int8_tops is None else int8_tops,
        )


# Memory, bandwidth, dense bf16/fp16 tensor operations with sums in fp32, dense int8 operations. Of GPUs as makers' data
# sheets are commonly quoted, none of it measured by us; the CPU is that of
# benchmarks/results/latency-short-cpu-xeon-2.json. Options say what is known better.
DEVICES = {
    "rtx-3060": DeviceSpec("NVIDIA RTX 3060 12 GB", "cuda", 12e9, 360e9, 51e12, 102e12),
    "rtx-4060": DeviceSpec("NVIDIA RTX 4060 8 GB", "cuda", 8e9, 272e9, 60e12, 121e12),
    "rtx-4090": DeviceSpec("NVIDIA RTX 4090 24 GB", "cuda", 24e9, 1008e9, 165e12, 660e12),
    "orin-nano": DeviceSpec("NVIDIA Jetson Orin Nano Super 8 GB", "cuda", 8e9, 102e9, 17e12, 33e12),
    "xeon-2": DeviceSpec("2 cores of an Intel Xeon with AMX", "cpu", 24e9, 23e9, 1.7e12, 2.1e12),
    "h200": DeviceSpec("NVIDIA H200", "cuda", 141e9, 4800e9, 989e12, 1979e12),
}


def amount(text: str, unit: str) -> float:
    """A quantity as people write it. Raises ValueError.

    >>> amount("8GB", "B"), amount("272 GB/s", "B/s"), amount("33T", "OPS")
    (8000000000.0, 272000000000.0, 33000000000000.0)
    """
    match = AMOUNT.fullmatch(text)
    if match is None or match["rest"].strip().lower() not in ("", unit.lower()):
        raise ValueError(f"{text!r} is no amount of {unit}; write it like 8G{unit}.")
    value = float(match["number"]) * UNITS[match["prefix"].upper()]
    if not value > 0:
        raise ValueError(f"{text!r}: it must be more than nothing.")
    return value
